"""Pretrained weights: where they are, whether they fit, and whether a network can take its input's size."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from sweeper.api import Network, NetworkBuild, Params
from sweeper.errors import InputError

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
CONNECT_S = 5.0  # an unreachable hub is given up after this long
STALL_S = 30.0  # and a download that no longer moves, after this long

# What the hub calls a model's file where timm does not say otherwise, and safer forms of what it says.
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_SAFER = {"open_clip_pytorch_model.bin": "open_clip_model.safetensors"}


def find_weights(network: Network, directory: str | None) -> str:
    """Path of the pretrained weights of a network: in `directory`, in timm's caches, or from the hub.

    Files in `directory` are named by timm's model with or without its tag, or by the network:
    ``legacy_xception.tf_in1k.safetensors``, ``legacy_xception.pth``, ``xception.pt``.

    Raises
    ------
    ValueError
        `directory` is no folder; or there are no weights in any of the places: the message says what to
        download and where to put it. Also for a network that has no pretrained weights.
    """
    if network.pretrained is None:
        raise InputError(f"{network.name}: weights must be random: it has no pretrained weights")
    import timm

    config = timm.get_pretrained_cfg(network.pretrained)
    if directory is not None:
        if not Path(directory).is_dir():
            raise InputError(f"--weights {directory}: no such folder")
        if (path := _in_folder(network, config, Path(directory))) is not None:
            return path
    found = _in_caches(config) or _from_hub(config)
    if found is None:
        raise InputError(_missing(network, config, directory))
    return found


def check_weights(network: Network, params: Params, path: str) -> None:
    """Raise ValueError, naming the layers that differ, unless the file holds weights of this architecture.

    The classifier may be missing or of other classes, and the first convolution may take three channels.
    """
    import torch

    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            network.build(NetworkBuild(params, n_classes=2, weights=path))
    except ValueError as error:
        raise InputError(f"{network.name}: {error}") from error


def check_size(network: Network, params: Params) -> None:
    """Raise ValueError unless the layers of a network can take inputs of ``params["size"]``.

    Nothing is computed: the network is built and run on torch's meta device.
    """
    import torch

    size = params["size"]
    with torch.device("meta"), torch.random.fork_rng(devices=[]), torch.no_grad():
        module: Any = network.build(NetworkBuild(params, n_classes=2))
        try:
            module.eval()(torch.zeros(2, 1, size, size))
        except NotImplementedError:
            return  # an operator that the meta device lacks: building such a model has run it already
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"{network.name}: its layers cannot take size {size}: {reason}") from error


def weights_digest(path: str) -> str:
    """Hexadecimal blake2b digest (16 bytes) of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _stems(network: Network) -> tuple[str, ...]:
    """Names of a file of weights without suffix, the most exact first."""
    assert network.pretrained is not None
    own = network.name.rpartition(":")[2]
    names = (network.pretrained, network.pretrained.partition(".")[0], own)
    return tuple(dict.fromkeys(names))


def _url_file(config: Any) -> str | None:
    return PurePosixPath(config.url).name if isinstance(config.url, str) and config.url else None


def _in_folder(network: Network, config: Any, folder: Path) -> str | None:
    names = [f"{stem}{suffix}" for stem in _stems(network) for suffix in SUFFIXES]
    if (published := _url_file(config)) is not None and published.endswith(SUFFIXES):
        names.append(published)
    return next((str(folder / name) for name in names if (folder / name).is_file()), None)


def _hub(config: Any) -> tuple[str, str | None, tuple[str, ...]] | None:
    """Repository, revision and possible files on the hub; None for weights that are only at a URL."""
    if not config.hf_hub_id:
        return None
    repository, _, revision = config.hf_hub_id.partition("@")
    name = config.hf_hub_filename
    files = tuple(n for n in (_SAFER.get(name), name) if n) if name else _HUB_FILES
    return repository, revision or None, files


def _in_caches(config: Any) -> str | None:
    """A file that timm downloaded before."""
    import torch
    from huggingface_hub import try_to_load_from_cache

    if (hub := _hub(config)) is not None:
        repository, revision, files = hub
        for name in files:
            found = try_to_load_from_cache(repository, name, revision=revision)
            if isinstance(found, str):
                return found
    published = _url_file(config)
    if published is not None and published.endswith(SUFFIXES):
        path = Path(torch.hub.get_dir()) / "checkpoints" / published
        return str(path) if path.is_file() else None
    return None


def _reachable(url: str) -> int | None:
    """HTTP status of a HEAD request without retries; None where nothing answers in time."""
    from huggingface_hub.utils import get_session

    try:
        return int(get_session().head(url, timeout=CONNECT_S).status_code)
    except Exception:  # whatever the HTTP library of the day raises: nobody is there
        return None


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """A time limit for the reads of downloads that know none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _from_hub(config: Any) -> str | None:
    """Download as timm does; None where the hub cannot be reached or does not have the file."""
    from huggingface_hub import hf_hub_download, hf_hub_url
    from timm.models._hub import download_cached_file

    if (hub := _hub(config)) is not None:
        repository, revision, files = hub
        for name in files:
            status = _reachable(hf_hub_url(repository, name, revision=revision))
            if status is None:
                return None
            if status < 400:
                try:
                    return str(hf_hub_download(repository, name, revision=revision, etag_timeout=CONNECT_S))
                except OSError:  # of which the hub's and the network's errors are kinds
                    return None
    published = _url_file(config)
    if published is None or not published.endswith(SUFFIXES) or _reachable(config.url) is None:
        return None
    try:
        with _patience():
            return str(download_cached_file(config.url, check_hash=False, progress=sys.stderr.isatty()))
    except OSError:
        return None


def _missing(network: Network, config: Any, directory: str | None) -> str:
    if (hub := _hub(config)) is not None:
        from huggingface_hub import hf_hub_url

        repository, revision, files = hub
        source, suffix = hf_hub_url(repository, files[0], revision=revision), Path(files[0]).suffix
    else:
        source, suffix = str(config.url), Path(str(config.url)).suffix
    searched = "the cache" if directory is None else f"--weights {directory}, the cache"
    return (
        f"{network.name}: pretrained weights {network.pretrained} are not in {searched} or to be had from "
        f"the hub: download {source} as {network.pretrained}{suffix} into a folder and give it as "
        f"--weights DIR, or choose weights: random"
    )
