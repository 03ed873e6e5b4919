"""A real S3 server on loopback for the demo and the tests: SeaweedFS, which installs as a wheel.

It is versioned, keeps buckets private until a policy opens them, and computes checksums, as S3 does. It refuses some
keys that S3 allows (`//`, a leading `/`, a backslash, `./` and `../`) and lists folder by folder, not by key bytes.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from opendata_pkg.model import NotFoundError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

_HOST = "127.0.0.1"
_REGION = "us-east-1"
_START_LIMIT_S = 30.0
_POLL_S = 0.05
_ATTEMPTS = 5
_LOG = "weed.log"
_LOG_TAIL_LINES = 15

# Each service has an HTTP port and a gRPC port; left to itself, `weed` takes fixed ones (gRPC: the other + 10,000), and
# two servers could not run side by side. The admin service listens even when its pages are switched off.
_SERVICES = ("s3", "master", "volume", "filer", "admin")

_CURRENT_ACTIONS = {"object": ["s3:GetObject"], "bucket": ["s3:ListBucket"]}
_ALL_ACTIONS = {
    "object": ["s3:GetObject", "s3:GetObjectVersion"],
    "bucket": ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation", "s3:GetBucketVersioning"],
}


class NoServerProgramError(NotFoundError):
    """SeaweedFS is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "the demo needs SeaweedFS (the program `weed`), which was found neither beside Python nor on PATH; "
            "install it with: pip install 'opendata-pkg[demo]'"
        )


class ServerStartError(SourceError):
    """The loopback S3 server did not come up; `log_tail` is the end of its log."""

    def __init__(self, why: str, log: Path) -> None:
        lines = log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        self.log_tail = "\n".join(lines)
        super().__init__(
            f"expected the local S3 server to answer, but {why}; try again, or read its log, {log}, which ends:\n"
            f"{self.log_tail}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A running server: where it answers, and the credentials of its only account."""

    endpoint_url: str
    access_key: str
    secret_key: str

    @classmethod
    @contextmanager
    def start(cls, folder: Path) -> Iterator[S3Server]:
        """A server with its data and `weed.log` in `folder`, killed when the block ends or this process dies.

        Raises:
            NoServerProgramError: SeaweedFS is not installed.
            ServerStartError: it ended or did not answer in 30 seconds.
        """
        program, folder = find_weed(), folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        access_key, secret_key = secrets.token_hex(8), secrets.token_hex(16)
        config = _write_config(folder / "s3.json", access_key, secret_key)
        with ExitStack() as stack:
            for attempt in range(1, _ATTEMPTS + 1):
                ports = _free_ports(2 * len(_SERVICES))
                server = cls(endpoint_url=f"http://{_HOST}:{ports[0]}", access_key=access_key, secret_key=secret_key)
                process = stack.enter_context(_running(program, folder, config, ports))
                try:
                    server._wait_until_ready(process, folder / _LOG)
                except ServerStartError:
                    # A free port is only free until somebody else takes it: `weed` then ends at once, and we ask again.
                    if process.poll() is None or attempt == _ATTEMPTS:
                        raise
                else:
                    break
            yield server

    def client(self) -> S3Client:
        """The boto3 client, one for all threads, that signs as the server's account, which may do everything."""
        return _client(self)

    def make_bucket(self, name: str, *, public: bool | Literal["current-only"] = True, versioned: bool = True) -> None:
        """Create a bucket.

        `public` lets everybody list and read all versions; `"current-only"` lets them list and read current objects
        but neither list nor get older versions, as many public buckets do; False lets nobody in without credentials.
        """
        client = self.client()
        client.create_bucket(Bucket=name)
        if versioned:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        if public is not False:
            actions = _CURRENT_ACTIONS if public == "current-only" else _ALL_ACTIONS
            client.put_bucket_policy(Bucket=name, Policy=json.dumps(_policy(name, actions)))

    def _wait_until_ready(self, process: subprocess.Popen[bytes], log: Path) -> None:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        deadline = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ServerStartError(f"it ended with status {process.returncode}", log)
            if _is_listening(self.endpoint_url):
                try:
                    # Signed with keys that only our server knows: another program on this port does not pass for it.
                    self.client().list_buckets()
                except (BotoCoreError, ClientError):
                    pass
                else:
                    return
            time.sleep(_POLL_S)
        raise ServerStartError(f"it did not within {_START_LIMIT_S:.0f} s", log)


def find_weed() -> Path:
    """The `weed` program: beside this Python (where pip puts it), else on PATH.

    Raises:
        NoServerProgramError: it is at neither place.
    """
    folders = (sysconfig.get_path("scripts"), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
    found = shutil.which("weed", path=os.pathsep.join(folders))
    if found is None:
        raise NoServerProgramError
    return Path(found)


# Making one reads the description of S3 anew, which takes longer than most requests.
@cache
def _client(server: S3Server) -> S3Client:
    # Imported where used: boto3 takes a second that `opendata --help` need not wait for.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    return boto3.session.Session().client(
        "s3",
        endpoint_url=server.endpoint_url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name=_REGION,
        config=Config(s3={"addressing_style": "path"}, proxies={}, connect_timeout=5, read_timeout=60),
    )


@contextmanager
def _running(program: Path, folder: Path, config: Path, ports: list[int]) -> Iterator[subprocess.Popen[bytes]]:
    services = list(zip(_SERVICES, ports[: len(_SERVICES)], ports[len(_SERVICES) :], strict=True))
    # It leaves these behind when killed. Their names are its own, whatever TMPDIR says.
    sockets = [f"/tmp/seaweedfs-{service}-{http}.sock" for service, http, _ in services]  # noqa: S108
    sockets += [f"/tmp/seaweedfs-{service}-grpc-{grpc}.sock" for service, _, grpc in services]  # noqa: S108
    data, scratch = folder / "data", folder / "tmp"
    for needed in (data, scratch):
        needed.mkdir(parents=True, exist_ok=True)
    command = [
        *(str(program), "mini", f"-dir={data}", f"-ip={_HOST}", f"-ip.bind={_HOST}", f"-s3.config={config}"),
        *(f"-{service}.port={http}" for service, http, _ in services),
        *(f"-{service}.port.grpc={grpc}" for service, _, grpc in services),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"),
        *("-master.volumeSizeLimitMB=64", "-volume.max=2000"),
    ]
    with (folder / _LOG).open("wb") as log_stream:
        process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("leash.py")), *sockets, "--", *command],
            stdin=subprocess.PIPE,
            stdout=log_stream,
            stderr=subprocess.STDOUT,
            # A session of its own: Ctrl-C is for us, who then stop the server in order.
            start_new_session=True,
            # Not our environment: credentials and bucket names in it would become accounts and buckets of the server.
            env={"HOME": str(scratch), "TMPDIR": str(scratch), "PATH": os.defpath},
        )
        try:
            yield process
        finally:
            # Closes its standard input, at which the leash kills the server, and waits for the leash to end.
            process.communicate()


def _write_config(path: Path, access_key: str, secret_key: str) -> Path:
    identities = [
        {
            "name": "admin",
            "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        },
        # SeaweedFS refuses an anonymous `?versions` despite the bucket's policy unless anonymous users exist; the
        # bucket named here does not.
        {"name": "anonymous", "actions": ["Read:no-such-bucket", "List:no-such-bucket"]},
    ]
    path.write_text(json.dumps({"identities": identities}))
    return path


def _policy(bucket: str, actions: dict[str, list[str]]) -> dict[str, object]:
    everybody = {"Effect": "Allow", "Principal": "*"}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {**everybody, "Action": actions["object"], "Resource": f"arn:aws:s3:::{bucket}/*"},
            {**everybody, "Action": actions["bucket"], "Resource": f"arn:aws:s3:::{bucket}"},
        ],
    }


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        # All are held at once, so that they differ.
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((_HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def _is_listening(endpoint_url: str) -> bool:
    port = int(endpoint_url.rpartition(":")[2])
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((_HOST, port)) == 0
