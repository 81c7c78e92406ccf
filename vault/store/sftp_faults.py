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
_KEY_FILE = Fault("the key file: {error}", "write its passphrase into passphrase:")

_SFTP = "asyncssh.sftp.SFTP"
_SSH = "asyncssh.misc."

EXCEPTIONS: Table = {
    _SSH + "PermissionDenied": Fault(
        "{server} refuses the login",
        "its user, key or password is wrong: try ssh with the same ones",
    ),
    _SSH + "HostKeyNotVerifiable": Fault("{server} shows a host key that is not accepted"),
    _SSH + "ConnectionLost": _CUT,
    _SSH + "DisconnectError": _DOWN,
    _SSH + "ChannelOpenError": _DOWN,
    _SSH + "ChannelListenError": _DOWN,
    _SSH + "Error": _STRANGE,
    _SSH + "PasswordChangeRequired": Fault(
        "{server} wants a new password", "log in with ssh and change it"
    ),
    _SSH + "BreakReceived": _CUT,
    _SSH + "SignalReceived": _CUT,
    _SSH + "SoftEOFReceived": _CUT,
    _SSH + "TerminalSizeChanged": _CUT,
    "asyncssh.public_key.KeyImportError": _KEY_FILE,
    "asyncssh.pbe.KeyEncryptionError": _KEY_FILE,
    "asyncssh.public_key.KeyExportError": _KEY_FILE,
    "asyncssh.public_key.KeyGenerationError": _KEY_FILE,
    "asyncssh.config.ConfigParseError": _STRANGE,
    "asyncssh.process.ProcessError": _STRANGE,
    "asyncssh.process.TimeoutError": _SILENT,
    "asyncssh.asn1.ASN1Error": _KEY_FILE,
    "asyncssh.asn1.ASN1DecodeError": _KEY_FILE,
    "asyncssh.asn1.ASN1EncodeError": _KEY_FILE,
    "asyncssh.gss.GSSError": _STRANGE,
    "asyncssh.saslprep.SASLPrepError": Fault(
        "the password has characters that SSH does not allow", "change it"
    ),
    "asyncssh.packet.PacketDecodeError": _LIES,
    _SFTP + "NoSuchFile": Fault(hint=SYNOLOGY, missing=True),
    _SFTP + "NoSuchPath": Fault(hint=SYNOLOGY, missing=True),
    _SFTP + "EOFError": _CUT,
    _SFTP + "PermissionDenied": _DENIED,
    _SFTP + "WriteProtect": _DENIED,
    _SFTP + "CannotDelete": _DENIED,
    _SFTP + "OwnerInvalid": _DENIED,
    _SFTP + "GroupInvalid": _DENIED,
    _SFTP + "UnknownPrincipal": _DENIED,
    _SFTP + "NoSpaceOnFilesystem": _FULL,
    _SFTP + "QuotaExceeded": _FULL,
    _SFTP + "ConnectionLost": _CUT,
    _SFTP + "NoConnection": _CUT,
    _SFTP + "Failure": Fault(
        "the server says '{error}'", "most often its disk is full, or the user's quota"
    ),
    _SFTP + "FileIsADirectory": _FILE,
    _SFTP + "NotADirectory": _FILE,
    _SFTP + "FileAlreadyExists": _FILE,
    _SFTP + "FileCorrupt": _FILE,
    _SFTP + "DirNotEmpty": _FILE,
    _SFTP + "LinkLoop": _FILE,
    _SFTP + "InvalidFilename": _FILE,
    _SFTP + "NoMedia": _FILE,
    _SFTP + "LockConflict": _FILE,
    _SFTP + "ByteRangeLockConflict": _FILE,
    _SFTP + "ByteRangeLockRefused": _FILE,
    _SFTP + "NoMatchingByteRangeLock": _FILE,
    _SFTP + "DeletePending": _FILE,
    _SFTP + "BadMessage": _LIES,
    _SFTP + "InvalidHandle": _LIES,
    _SFTP + "InvalidParameter": _LIES,
    _SFTP + "OpUnsupported": Fault(
        "the server cannot do it ('{error}')", "is it a full SFTP server?"
    ),
    _SFTP + "Error": Fault("the server says '{error}'", "look at its log"),
    "builtins.FileNotFoundError": Fault(hint=SYNOLOGY, missing=True),
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
