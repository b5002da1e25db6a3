"""One machine over ssh: a pinned host key, one connection that is made when needed, and errors that say what to do."""

from __future__ import annotations

import asyncio
import errno
import os
import posixpath
import shlex
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from io import FileIO
from pathlib import Path

import asyncssh

from configs import ConfigError
from daemon.credentials import secret
from daemon.retraining.backend import BackendError
from daemon.retraining.places import Ssh
from models.jobs.folder import FULL, FULL_BYTES

SILENCES = 3
"""So many questions without an answer, and the line is taken for dead."""
PIECE = 192 * 2**10
"""Bytes of a file sent or fetched at once: one request, so that a cut is one error."""
_UNREACHABLE = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)


class Host:
    """The machine of a section `retraining.ssh`."""

    def __init__(self, config: Ssh) -> None:
        self._config = config
        self._line: asyncssh.SSHClientConnection | None = None
        self._files: asyncssh.SFTPClient | None = None
        self._connecting = asyncio.Lock()
        self.jobs = posixpath.join(config.checkout, config.jobs)
        """Folder of jobs there."""

    def __str__(self) -> str:
        return f"{self._config.user}@{self._config.host}:{self._config.port}"

    async def command(self, *words: str) -> str:
        """What `python -m training job WORDS` says there.

        Raises
        ------
        BackendError
            If it fails, with its own words.
        """
        config = self._config
        # one plain command: every login shell takes it alike, and none stays between
        line = shlex.join(["env", "-C", config.checkout, config.python, "-m", "training", "job", *words])
        async with self.doing(f"`training job {words[0]}`"):
            connection, _ = await self._connected()
            async with asyncio.timeout(config.answer_s):
                told = await connection.run(
                    line, check=False, stdin=asyncssh.DEVNULL, encoding="utf-8", errors="replace"
                )
        if told.exit_status == 0:
            return str(told.stdout)
        said = (str(told.stderr) or str(told.stdout)).strip() or f"exit code {told.exit_status}"
        if told.exit_status in (125, 126, 127):  # of `env`, or of the shell: what was asked for is not there
            raise BackendError(
                f"{self}: {said}; see retraining.ssh.checkout ({config.checkout}) and .python ({config.python})", True
            )
        raise BackendError(f"{self}: {said}")

    async def files(self) -> asyncssh.SFTPClient:
        """Its files."""
        return (await self._connected())[1]

    @asynccontextmanager
    async def doing(self, what: str, folder: str | None = None) -> AsyncIterator[None]:
        """Turn whatever goes wrong into a BackendError; `folder` is written to, and its disk looked at then."""
        try:
            yield
        except BackendError:
            raise
        except asyncssh.SFTPError as error:
            raise await self._of_files(error, what, folder) from error
        except asyncssh.Error as error:
            raise BackendError(f"{self}: the line was cut at {what}: {error.reason}; the job there goes on") from error
        except TimeoutError as error:
            await self._drop()
            raise BackendError(f"{self}: no answer to {what} in {self._config.answer_s:g} s") from error
        except OSError as error:
            if isinstance(error, ConnectionError) or error.errno in _UNREACHABLE:
                raise BackendError(f"{self}: the line was cut at {what}: {error}; the job there goes on") from error
            where, why = error.filename or "this machine", error.strerror or error
            raise BackendError(
                f"{where}: {why}, at {what}; free some space or give the daemon's user the right to it",
                lasting=error.errno in (*FULL, errno.EACCES, errno.EPERM, errno.EROFS),
            ) from error

    async def send(self, source: Path, target: str) -> None:
        """Write a file of this machine there, through to the disk."""
        files = await self.files()
        opened = await asyncio.to_thread(source.open, "rb")
        try:
            async with files.open(target, "wb") as there:
                while part := await asyncio.to_thread(opened.read, PIECE):
                    async with asyncio.timeout(self._config.answer_s):
                        await there.write(part)
                with suppress(asyncssh.SFTPOpUnsupported):
                    await there.fsync()
        finally:
            opened.close()

    async def bring(self, source: str, target: Path, most: int) -> int:
        """Write a file of that machine here, of at most so many bytes; gives how many it has.

        Raises
        ------
        BackendError
            Lasting, if it has more.
        """
        came = 0
        files = await self.files()
        opened = await asyncio.to_thread(lambda: target.open("xb", buffering=0))
        try:
            async with files.open(source, "rb") as there:
                while part := await self._piece(there):
                    came += len(part)
                    if came > most:
                        raise BackendError(
                            f"{self}: {source} is larger than a set may be, or than half of what is free on the disk "
                            f"of {target.parent}; free some, or look at what lies there",
                            lasting=True,
                        )
                    await asyncio.to_thread(_written, opened, part)
        finally:
            await asyncio.to_thread(opened.close)
        return came

    async def read(self, source: str, offset: int, most: int) -> bytes | None:
        """At most so many bytes of a file there; None if there is no such file."""
        files = await self.files()
        async with asyncio.timeout(self._config.answer_s):
            try:
                async with files.open(source, "rb") as there:
                    part = await there.read(most, offset)
                    assert isinstance(part, bytes)  # opened as such
                    return part
            except asyncssh.SFTPNoSuchFile:
                return None

    async def close(self) -> None:
        """End the connection."""
        line, self._line, self._files = self._line, None, None
        if line is not None:
            line.close()
            with suppress(TimeoutError, asyncssh.Error, OSError):
                async with asyncio.timeout(5):
                    await line.wait_closed()

    async def _piece(self, there: asyncssh.SFTPClientFile) -> bytes:
        async with asyncio.timeout(self._config.answer_s):
            part = await there.read(PIECE)
        assert isinstance(part, bytes)  # opened as such
        return part

    async def _drop(self) -> None:
        """Forget a connection that does not answer."""
        line, self._line, self._files = self._line, None, None
        if line is not None:
            line.abort()

    async def _connected(self) -> tuple[asyncssh.SSHClientConnection, asyncssh.SFTPClient]:
        async with self._connecting:
            if self._line is None or self._files is None or self._line.is_closed():
                await self._drop()
                self._line = await self._connect()
                async with asyncio.timeout(self._config.answer_s):
                    self._files = await self._line.start_sftp_client()
            return self._line, self._files

    async def _connect(self) -> asyncssh.SSHClientConnection:
        config = self._config
        known, key = await asyncio.to_thread(lambda: (self._known_hosts(), self._key()))
        with self._refusals():
            return await asyncssh.connect(
                config.host,
                config.port,
                config=None,  # nobody's ~/.ssh/config
                username=config.user,
                client_keys=[key],
                agent_path=None,
                known_hosts=known,
                preferred_auth="publickey",
                keepalive_interval=config.keepalive_s,
                keepalive_count_max=SILENCES,
                connect_timeout=config.connect_s,
                login_timeout=config.connect_s,
            )

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        config = self._config
        try:
            yield
        except asyncssh.HostKeyNotVerifiable as error:
            raise BackendError(
                f"{self}: its host key is not in {config.known_hosts} ({error.reason}): another machine answers, or it "
                f"was set up anew; check its key, then put `ssh-keyscan -p {config.port} {config.host}` there",
                lasting=True,
            ) from error
        except asyncssh.PermissionDenied as error:
            key = config.key or config.key_name
            raise BackendError(
                f"{self}: refuses the key {key}; put its public half into authorized_keys of {config.user} there", True
            ) from error
        except (asyncssh.KeyExchangeFailed, asyncssh.ProtocolError) as error:
            raise BackendError(
                f"{self}: does not speak ssh as this program does: {error.reason}", lasting=True
            ) from error
        except (TimeoutError, asyncssh.Error, OSError) as error:
            told = f"nobody answered in {config.connect_s:g} s" if isinstance(error, TimeoutError) else str(error)
            raise BackendError(f"{self} cannot be reached: {told}; is it on, and its sshd?") from error

    def _known_hosts(self) -> asyncssh.SSHKnownHosts:
        file = self._config.known_hosts
        ask = f"write its key into it: `ssh-keyscan -p {self._config.port} {self._config.host}`, then check it there"
        try:
            return asyncssh.read_known_hosts(str(file))
        except (OSError, ValueError) as error:
            raise BackendError(f"{file}: no keys of hosts can be read: {error}; {ask}", lasting=True) from error

    def _key(self) -> asyncssh.SSHKey:
        file, name = self._config.key, self._config.key_name
        try:
            if file is None:
                text = secret(name)
            else:
                if stat.S_IMODE(os.stat(file).st_mode) & 0o077:
                    raise BackendError(f"{file}: others may read this private key; `chmod 600` it", lasting=True)
                text = file.read_text()
            return asyncssh.import_private_key(text + "\n")
        except (OSError, ValueError, ConfigError) as error:
            remedy = "it must be an OpenSSH private key without a passphrase"
            raise BackendError(
                f"{file or name}: no private key can be read: {error}; {remedy}", lasting=True
            ) from error

    async def _of_files(self, error: asyncssh.SFTPError, what: str, folder: str | None) -> BackendError:
        """What a refusal by its files means; a full disk has no name of its own in the protocol."""
        if isinstance(error, asyncssh.SFTPNoConnection | asyncssh.SFTPConnectionLost):
            return BackendError(f"{self}: the line was cut at {what}; the job there goes on")
        if isinstance(error, asyncssh.SFTPPermissionDenied):
            where = folder or self.jobs
            return BackendError(f"{self}: {where}: permission denied at {what}; let {self._config.user} own it", True)
        if isinstance(error, asyncssh.SFTPNoSuchFile):
            return BackendError(f"{self}: {error.reason} at {what}; is retraining.ssh.checkout right?", lasting=True)
        free = None if folder is None else await self._free(folder)
        if (free is not None and free < FULL_BYTES) or isinstance(error, asyncssh.SFTPNoSpaceOnFilesystem):
            left = f"{(free or 0) / 2**20:.1f} MiB left"
            return BackendError(
                f"{self}: the disk of {folder} is full ({left}); free some, remove old jobs there", True
            )
        return BackendError(f"{self}: {what} failed: {error.reason}")

    async def _free(self, folder: str) -> int | None:
        """Bytes left on the disk of a folder there, None if it cannot be told."""
        try:
            async with asyncio.timeout(self._config.answer_s):
                told = await (await self.files()).statvfs(folder)
        except (BackendError, asyncssh.Error, OSError):
            return None
        return int(told.bavail or 0) * int(told.frsize or 0)


def _written(file: FileIO, part: bytes) -> None:
    """Write all of it; an error names the file, as writing alone does not."""
    rest = memoryview(part)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        error.filename = file.name
        raise
