"""`python -I palm_opt/checker CERTIFICATE SUBJECT`: the checker alone, also from a copy of this folder.

Python puts a folder that is run first on the path. It is taken off before anything else is imported, so that no file
beside these stands in for a module of the standard library; the checker is then loaded as a package, by its place.
"""

import sys

if __package__:
    from palm_opt.checker import main
else:
    FOLDER = __file__.rpartition("__main__.py")[0].rstrip("/\\") or "."
    sys.path[:] = [entry for entry in sys.path if entry.rstrip("/\\") not in ("", ".", FOLDER)]
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("palm_checker", FOLDER + "/__init__.py", submodule_search_locations=[FOLDER])
    assert spec is not None and spec.loader is not None
    sys.modules["palm_checker"] = package = module_from_spec(spec)
    spec.loader.exec_module(package)
    main = package.main

sys.exit(main())
