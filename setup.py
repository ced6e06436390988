"""The compiled extension only; all metadata is in pyproject.toml."""

import os

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

flags = ["-std=c11", "-O3", "-ffp-contract=off", "-Wno-psabi"]  # vectors pass between inlined functions only
link = []
if os.environ.get("PALM_STRICT"):  # CI: warnings are errors (the generated C itself is exempt from two of them)
    flags += ["-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-parameter"]
if os.environ.get("PALM_SANITIZE"):
    flags += ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g"]
    link += ["-fsanitize=address,undefined"]

KERNELS = ["game", "skyline", "coverage", "local", "probe", "envelope", "outer", "gibbs"]
extension = Extension(
    "palm_opt._core",
    ["src/_core.pyx", *(f"src/{name}.c" for name in KERNELS)],
    depends=["src/palm.h", "src/random.h", "src/invert.h"],
    include_dirs=["src", numpy.get_include()],
    define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    extra_compile_args=flags,
    extra_link_args=link,
)
setup(ext_modules=cythonize([extension], build_dir="build", compiler_directives={"language_level": 3}))
