"""Machine code that is kept between processes: one generated module per kernel, named by a fingerprint of all
it uses.

numba's own cache looks only at the file of the function that is cached: it neither notices an edited helper
in
another module, nor finds anything again when a compiled function is passed as an argument or closed over.
Here the fingerprint covers
the function and everything it reaches (helpers, constants, compile options), and a strategy's step is a
global of
its generated module, so every process after the first loads in milliseconds, user strategies included.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import importlib.util
import inspect
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numba
import numpy as np

from trading.quant.engine.errors import StrategyStepError

_HEADER = '"""Generated; safe to delete. The name carries a fingerprint of all the code that is compiled in."""\n'
config: Any = numba.config
_loaded: dict[str, Any] = {}
_lock = threading.Lock()


def cache_folder() -> Path:
    """Where compiled kernels live: NUMBA_CACHE_DIR, else var/kernels of the project, else a folder of the
    user's.
    """
    for candidate in (
        os.environ.get("NUMBA_CACHE_DIR"),
        Path(__file__).resolve().parents[3] / "var" / "kernels",
        Path.home() / ".cache" / "fundops" / "kernels",
        Path(tempfile.gettempdir()) / f"fundops-kernels-{os.getuid()}",
    ):
        if not candidate:
            continue
        folder = Path(candidate)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise StrategyStepError("No folder for compiled kernels is writable; set NUMBA_CACHE_DIR to one that is.")


def is_compiled(function: object) -> bool:
    """Whether this is a numba function (njit)."""
    return hasattr(function, "py_func") and hasattr(function, "targetoptions")


def fingerprint(roots: Iterable[object]) -> str:
    """A digest of the bytecode, constants and options of these functions and of everything they call."""
    digest = hashlib.sha256()
    seen: set[int] = set()

    def add(value: object, names: tuple[str, ...]) -> None:
        if isinstance(value, (int, float, complex, str, bytes, bool, type(None), np.generic)):
            digest.update(f"{type(value).__name__}:{value!r};".encode())
            return
        if isinstance(value, ModuleType):
            digest.update(f"module {value.__name__};".encode())
            if value.__name__.split(".")[0] not in ("numpy", "math", "numba"):
                for name in names:
                    if hasattr(value, name):
                        add(getattr(value, name), ())
            return
        if id(value) in seen:
            return
        seen.add(id(value))
        if isinstance(value, (tuple, list, frozenset)):
            for item in sorted(value, key=repr) if isinstance(value, frozenset) else value:
                add(item, ())
        elif isinstance(value, np.ndarray):
            digest.update(str(value.dtype).encode() + value.tobytes())
        elif isinstance(value, CodeType):
            digest.update(value.co_code)
            digest.update(repr((value.co_names, value.co_varnames, value.co_argcount)).encode())
            add(value.co_consts, ())
        elif is_compiled(value):
            options = getattr(value, "targetoptions", {})
            digest.update(repr(sorted((k, repr(v)) for k, v in options.items() if k != "nopython")).encode())
            add(getattr(value, "py_func", None), ())
        elif isinstance(value, FunctionType):
            add(value.__code__, ())
            for name in value.__code__.co_names:
                if name in value.__globals__:
                    digest.update(name.encode())
                    add(value.__globals__[name], value.__code__.co_names)
            for cell in value.__closure__ or ():
                add(cell.cell_contents, value.__code__.co_names)
        elif hasattr(value, "_defn"):  # an intrinsic: its code generator
            add(value._defn, ())
        else:
            digest.update(f"{type(value).__module__}.{type(value).__qualname__};".encode())

    for root in roots:
        add(root, ())
    return digest.hexdigest()


def loaded() -> list[Any]:
    """The kernels this process has asked for so far, as numba dispatchers (``signatures``, ``stats``)."""
    with _lock:
        return list(_loaded.values())


def _module(name: str, source: str, bindings: Mapping[str, object]) -> ModuleType:
    """Write the source once (never touching an existing file: its time stamp is part of numba's key) and run
    it.
    """
    path = cache_folder() / f"{name}.py"
    if not path.exists():
        handle, scratch = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(source)
        os.utime(scratch, (0, 0))
        Path(scratch).replace(path)
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise StrategyStepError(f"{path} cannot be loaded; delete it and try again.")
    module = importlib.util.module_from_spec(specification)
    module.__dict__.update(bindings)
    sys.modules[name] = module  # the cached code looks its module up by name
    elsewhere, config.CACHE_DIR = (
        config.CACHE_DIR,
        "",
    )  # the fingerprint is the key: keep the code beside the source
    try:
        specification.loader.exec_module(module)
    finally:
        config.CACHE_DIR = elsewhere
    return module


def entry(function: Any) -> Callable[..., Any]:
    """A compiled function as an entry point whose machine code is kept between processes."""
    name = function.py_func.__name__
    arguments = ", ".join(inspect.signature(function.py_func).parameters)
    source = (
        f"{_HEADER}from numba import njit\n\n\n"
        f"@njit(cache=True, nogil=True, error_model='numpy')\ndef {name}_entry({arguments}):\n    return "
        f"{name}({arguments})\n"
    )
    return _build(name, source, f"{name}_entry", {name: function}, (function,))


def instantiate(source: str, name: str, label: str, bindings: Mapping[str, object]) -> Callable[..., Any]:
    """The function ``name`` of this source text, in which the bindings are globals, compiled and kept between
    processes.
    """
    options = "cache=True, nogil=True, error_model='numpy', _nrt=False"
    text = f"{_HEADER}from numba import njit\n\n\n@njit({options})\n{source}"
    return _build(f"{name}_{label}", text, name, {"np": np, **bindings}, (*bindings.values(),))


def _build(
    label: str, source: str, attribute: str, bindings: Mapping[str, object], roots: tuple[object, ...]
) -> Callable[..., Any]:
    key = hashlib.sha256((source + fingerprint(roots)).encode()).hexdigest()[:20]
    name = f"fundops_{''.join(c if c.isalnum() else '_' for c in label)}_{key}"
    with _lock:
        if name not in _loaded:
            _loaded[name] = _compiled_by_one(getattr(_module(name, source, bindings), attribute), name)
        result: Callable[..., Any] = _loaded[name]
        return result


def _compiled_by_one(kernel: Any, name: str) -> Any:
    """Has processes that need the same machine code at once wait for the one that compiles it, then load that.

    numba asks ``_compile_for_args`` for code of a signature it has none of yet, and runs the code after it returned.
    """
    compile_or_load = kernel._compile_for_args
    path = cache_folder() / f"{name}.lock"

    @functools.wraps(compile_or_load)
    def alone(*args: Any, **kwargs: Any) -> Any:
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return compile_or_load(*args, **kwargs)

    kernel._compile_for_args = alone
    return kernel
