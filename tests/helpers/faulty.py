"""Store between `Retrying` and a real one that fails as networks do."""

from vault.errors import Retryable
from vault.store.wrapper import UploadWrapper, Wrapper


class Faulty(Wrapper):
    """Store that carries out a call but loses its first answer, or reads a wrong range."""

    def __init__(self, store, lost="", shift=0, cut_after=None):
        super().__init__(store)
        self.lost, self.shift, self.left = lost, shift, cut_after
        self.failed = []

    def lose(self, method):
        if method == self.lost:
            self.lost = ""
            self.failed.append(method)
            raise Retryable(f"the answer to {method} is lost")

    def read(self, service, name, offset, length, *more):
        found = super().read(service, name, offset + self.shift, length, *more)
        self.lose("read")
        return found

    def upload(self, service, name, *more):
        made = super().upload(service, name, *more)
        self.lose("upload")
        return FaultyUpload(made, self)

    def place(self, *arguments):
        super().place(*arguments)
        self.lose("place")

    def delete(self, *arguments):
        super().delete(*arguments)
        self.lose("delete")

    def discard(self, *arguments):
        super().discard(*arguments)
        self.lose("discard")


class FaultyUpload(UploadWrapper):
    def __init__(self, upload, store):
        super().__init__(upload)
        self.store = store

    def put(self, number, part, check):
        super().put(number, part, check)
        if self.store.left is not None:
            self.store.left -= part.length
            if self.store.left <= 0:
                raise Retryable("the line is cut")
        self.store.lose("put")

    def finish(self, check):
        super().finish(check)
        self.store.lose("finish")
