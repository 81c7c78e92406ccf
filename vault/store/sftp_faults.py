"""Meaning of the exceptions of asyncssh and sshfs."""

from __future__ import annotations

from vault.store.faults import FULL, Fault, Table

SYNOLOGY = "on a Synology, SFTP shows shares at /, not at /volume1"

_CUT = Fault("{server} cut the connection ({error})", "is it up?", retry=True)
_DOWN = Fault("{server}: {error}", "is it up, with SFTP enabled?", retry=True)
_SILENT = Fault("{server} does not answer", "is it up, and not asleep?", retry=True, silent=True)
_DENIED = Fault("permission denied", "{server} needs to write there; " + SYNOLOGY)
_FULL = Fault("its disk is full", FULL)
_STRANGE = Fault("{kind}: {error}", "is it an SFTP server?")
_LIES = Fault("{server} sends an invalid SFTP answer: {error}", "is it an SFTP server?")
_FILE = Fault("the server says '{error}'", "look at the folder on the server")
_MISSING = Fault(hint=SYNOLOGY, missing=True)
_KEY_FILE = Fault("the key file: {error}", "write its passphrase into passphrase:")

_SHARED = {
    _CUT: "misc.ConnectionLost misc.BreakReceived misc.SignalReceived misc.SoftEOFReceived"
    " misc.TerminalSizeChanged sftp.SFTPEOFError sftp.SFTPConnectionLost sftp.SFTPNoConnection",
    _DOWN: "misc.DisconnectError misc.ChannelOpenError misc.ChannelListenError",
    _SILENT: "process.TimeoutError",
    _DENIED: "sftp.SFTPPermissionDenied sftp.SFTPWriteProtect sftp.SFTPCannotDelete"
    " sftp.SFTPOwnerInvalid sftp.SFTPGroupInvalid sftp.SFTPUnknownPrincipal",
    _FULL: "sftp.SFTPNoSpaceOnFilesystem sftp.SFTPQuotaExceeded",
    _STRANGE: "misc.Error config.ConfigParseError process.ProcessError gss.GSSError",
    _LIES: "packet.PacketDecodeError sftp.SFTPBadMessage sftp.SFTPInvalidHandle"
    " sftp.SFTPInvalidParameter",
    _FILE: "sftp.SFTPFileIsADirectory sftp.SFTPNotADirectory sftp.SFTPFileAlreadyExists"
    " sftp.SFTPFileCorrupt sftp.SFTPDirNotEmpty sftp.SFTPLinkLoop sftp.SFTPInvalidFilename"
    " sftp.SFTPNoMedia sftp.SFTPLockConflict sftp.SFTPByteRangeLockConflict"
    " sftp.SFTPByteRangeLockRefused sftp.SFTPNoMatchingByteRangeLock sftp.SFTPDeletePending",
    _KEY_FILE: "asn1.ASN1Error pbe.KeyEncryptionError public_key.KeyImportError"
    " public_key.KeyExportError public_key.KeyGenerationError",
    _MISSING: "sftp.SFTPNoSuchFile sftp.SFTPNoSuchPath",
}

EXCEPTIONS: Table = {
    **{f"asyncssh.{name}": fault for fault, names in _SHARED.items() for name in names.split()},
    "asyncssh.misc.PermissionDenied": Fault(
        "{server} refuses the login",
        "its user, key or password is wrong: try ssh with the same ones",
    ),
    "asyncssh.misc.HostKeyNotVerifiable": Fault("{server} shows a host key that is not accepted"),
    "asyncssh.misc.PasswordChangeRequired": Fault(
        "{server} wants a new password", "log in with ssh and change it"
    ),
    "asyncssh.saslprep.SASLPrepError": Fault(
        "the password has characters that SSH does not allow", "change it"
    ),
    "asyncssh.sftp.SFTPFailure": Fault(
        "the server says '{error}'", "most often its disk is full, or the user's quota"
    ),
    "asyncssh.sftp.SFTPOpUnsupported": Fault(
        "the server cannot do it ('{error}')", "is it a full SFTP server?"
    ),
    "asyncssh.sftp.SFTPError": Fault("the server says '{error}'", "look at its log"),
    "builtins.FileNotFoundError": _MISSING,
    "builtins.PermissionError": _DENIED,
    "builtins.TimeoutError": _SILENT,
    "asyncio.exceptions.IncompleteReadError": _CUT,
    "fsspec.exceptions.FSTimeoutError": _SILENT,
    "builtins.ConnectionError": _DOWN,
    "builtins.OSError": Fault("{server}: {error}", "is the address right?", retry=True),
    "builtins.ValueError": Fault("{error}", "is it an SFTP server?"),
    "builtins.Exception": _STRANGE,
}
"""Exception -> its meaning. An unknown host key has its own error, see sftp_login."""
