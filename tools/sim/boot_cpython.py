# The half of boot.py for the fallback interpreter: the app's imports and builtins, kept apart from those of CPython
# itself.
import builtins
import importlib
import os
import sys
import traceback
import types

_app_builtins = dict(vars(builtins))
_app_path = [""]
_app_modules = {}


def start(config: dict, firmware: type) -> object:
    tools, package = os.path.split(config["stubs"].rstrip("/"))
    sys.path.insert(0, tools)
    world = importlib.import_module(package + "._world")
    world.path, world.modules = _app_path, _app_modules
    shim_names = [name[:-3] for name in os.listdir(config["stubs"]) if name.endswith(".py")]

    def load_shim(name: str) -> object:
        return importlib.import_module(package + "." + name)

    def load_file(name: str, wanted: object) -> object:
        """As __import__: the first part of the dotted name, or the last one where names are wanted from it."""
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            leaf = _load(world, ".".join(parts[:count]))
        for item in wanted or ():
            if not hasattr(leaf, item) and hasattr(leaf, "__path__"):
                _load(world, name + "." + item)
        return leaf if wanted else _app_modules[parts[0]]

    return firmware(shim_names, load_shim, load_file, config.get("cycles", 0))


def app_scope(firmware: object, flash: object) -> dict:
    """Globals for main.py; __builtins__ in them makes its `import` and `open` those of the module."""
    _app_builtins["__import__"] = firmware.import_module
    _app_builtins["open"] = flash.open_file
    return {"__builtins__": _app_builtins}


def print_exception(error: BaseException) -> None:
    traceback.print_exception(type(error), error, error.__traceback__, file=sys.stdout)


def _load(world: object, name: str) -> types.ModuleType:
    if name in _app_modules:
        return _app_modules[name]
    parent_name, _, last = name.rpartition(".")
    parent = _app_modules.get(parent_name)
    for folder in parent.__path__ if parent else _app_path:
        path = folder + "/" + last if folder else last
        if os.path.isdir(world.host_path(path)):
            module = _execute(world, name, path + "/__init__.py", path)
        elif os.path.isfile(world.host_path(path + ".py")):
            module = _execute(world, name, path + ".py", None)
        else:
            continue
        if parent:
            setattr(parent, last, module)
        return module
    raise ImportError(f"no module named '{name}'")


def _execute(world: object, name: str, path: str, package_path: object) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__["__builtins__"] = _app_builtins
    module.__file__ = path
    if package_path:
        module.__path__ = [package_path]
    _app_modules[name] = module
    source_path = world.host_path(path)
    if package_path and not os.path.exists(source_path):  # a folder without __init__.py is an empty package
        return module
    try:
        with open(source_path, encoding="utf-8") as source:
            exec(compile(source.read(), path, "exec"), module.__dict__)
    except BaseException:
        del _app_modules[name]
        raise
    return module
