"""Meaning of the answers of S3 servers, and of exceptions of the libraries below s3fs."""

from __future__ import annotations

from vault.store.faults import FULL, Fault, Table

SERVER = "is the endpoint right, and is the server up?"
KEYS = "correct access_key_id and secret_access_key, or the region"
RIGHTS = "the key needs to list, read, write and delete in this bucket"

_AWAY = Fault("{server}: {error}", SERVER, retry=True)
_SILENT = Fault("{server} does not answer", "is the line up?", retry=True, silent=True)
_MISSING = Fault(missing=True)
_KEYS = Fault("the server refuses the keys ({error})", KEYS)
_FORBIDDEN = Fault("the server forbids it ({error})", RIGHTS)
_BUSY = Fault("the server answers {error}", "ask who runs it", retry=True)
_REFUSED = Fault("the server answers {error}", "ask who runs it")
_FULL = Fault("the server answers {error}", FULL)
_ELSEWHERE = Fault("the bucket is elsewhere ({error})", "correct the region or the endpoint")
_CLOCK = Fault("the server refuses the time of the request ({error})", "set this machine's clock")

EXCEPTIONS: Table = {
    # botocore: its base classes, and classes that mean more than they do.
    "botocore.exceptions.BotoCoreError": Fault("{error}", "is the endpoint right?"),
    "botocore.exceptions.UndefinedModelAttributeError": Fault("{kind}: {error}", SERVER),
    "botocore.exceptions.HTTPClientError": _AWAY,
    "botocore.exceptions.ConnectionError": _AWAY,
    "botocore.exceptions.ReadTimeoutError": _SILENT,
    "botocore.exceptions.ConnectTimeoutError": _SILENT,
    "botocore.exceptions.IncompleteReadError": _AWAY,
    "botocore.exceptions.SSLError": Fault(
        "{server}: {error}",
        "its certificate must be of an authority that this system trusts"
        " (update-ca-certificates, or SSL_CERT_FILE)",
    ),
    "botocore.parsers.ResponseParserError": Fault(
        "the server there is not an S3 server: {error}", "is the endpoint right?"
    ),
    "aiohttp.client_exceptions.ClientError": _AWAY,
    "aiohttp.http_exceptions.HttpProcessingError": _AWAY,
    "vault.store.s3_session.AnswerTooLongError": Fault(
        "{server} sends {error}", "is the endpoint right?"
    ),
    # Python: what s3fs makes of a code has the code as its cause, which is preferred.
    "builtins.FileNotFoundError": _MISSING,
    "builtins.PermissionError": _FORBIDDEN,
    "builtins.TimeoutError": _SILENT,
    "fsspec.exceptions.FSTimeoutError": _SILENT,
    "builtins.OSError": _AWAY,
    "builtins.ValueError": Fault("{error}", "is the endpoint right?"),
    "builtins.KeyError": Fault("its answer lacks {error}", "is the endpoint right?"),
    "builtins.TypeError": Fault("its answer makes no sense: {error}", "is the endpoint right?"),
    "builtins.Exception": Fault("{kind}: {error}", SERVER),
}
"""Exception -> its meaning. An answer with an error code is in CODES."""

CODES: dict[str, Fault] = {
    code: fault
    for fault, codes in {
        _MISSING: "NoSuchKey NoSuchUpload NoSuchVersion NoSuchLifecycleConfiguration"
        " NoSuchBucketPolicy NotFound 404",
        Fault("there is no bucket {bucket}", "create it, or correct `bucket`"): "NoSuchBucket",
        _KEYS: "InvalidAccessKeyId SignatureDoesNotMatch AuthorizationHeaderMalformed"
        " InvalidToken ExpiredToken TokenRefreshRequired InvalidSecurity NotSignedUp"
        " CredentialsNotSupported MissingSecurityHeader MissingSecurityElement 401 Unauthorized",
        _FORBIDDEN: "AccessDenied Forbidden 403 AllAccessDisabled AccountProblem InvalidPayer"
        " InvalidObjectState CrossLocationLoggingProhibited MethodNotAllowed 405"
        " RequestTorrentOfBucketError InvalidBucketState",
        _BUSY: "RequestTimeout SlowDown InternalError ServiceUnavailable Throttling"
        " ThrottlingException RequestLimitExceeded OperationAborted RestoreAlreadyInProgress"
        " IncompleteBody BadDigest 408 409 429 500 502 503 504",
        _CLOCK: "RequestTimeTooSkewed RequestExpired",
        _ELSEWHERE: "PermanentRedirect TemporaryRedirect Redirect 301 302 307 308"
        " IllegalLocationConstraintException InvalidLocationConstraint",
        _FULL: "EntityTooLarge QuotaExceeded StorageFull InsufficientStorage 507 TooManyBuckets",
        Fault("it ends before", missing=True): "InvalidRange 416",
        _REFUSED: "NotImplemented 501 InvalidArgument InvalidRequest InvalidURI MalformedXML 400"
        " KeyTooLongError InvalidBucketName InvalidPart InvalidPartOrder EntityTooSmall"
        " PreconditionFailed 412 InvalidDigest InvalidStorageClass UnexpectedContent"
        " MissingContentLength BucketAlreadyExists BucketAlreadyOwnedByYou BucketNotEmpty"
        " AmbiguousGrantByEmailAddress IllegalVersioningConfigurationException"
        " IncorrectNumberOfFilesInPostRequest InlineDataTooLarge InvalidAddressingHeader"
        " InvalidTargetBucketForLogging"
        " InvalidEncryptionAlgorithmError InvalidPolicyDocument InvalidSOAPRequest"
        " MalformedACLError MalformedPOSTRequest MaxMessageLengthExceeded"
        " MaxPostPreDataLengthExceededError MetadataTooLarge MissingAttachment"
        " MissingRequestBodyError NoLoggingStatusForKey RequestIsNotMultiPartContent"
        " UnresolvableGrantByEmailAddress UserKeyMustBeSpecified",
    }.items()
    for code in codes.split()
}
"""Error code of an S3 server, or the status of an answer without one -> its meaning."""


def answered(code: str, status: int) -> Fault:
    """Return the meaning of an answer. An unknown one is retried if its status allows that."""
    fault = CODES.get(code) or CODES.get(str(status))
    if fault:
        return fault
    return _BUSY if status >= 500 else _REFUSED  # noqa: PLR2004
