"""What `import accelsim` promises."""

import importlib
import pkgutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import accelsim

HEAVY = ("numpy", "numba", "pandas", "scipy", "matplotlib", "torch", "onnx", "pydantic", "rich")
NAMES = [name for name in accelsim.__all__ if name != "__version__"]


def fresh(code):
    """What a new interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.split()


def test_importing_accelsim_loads_nothing_heavy():
    loaded = fresh("import sys, accelsim; print(*sys.modules)")
    assert "accelsim" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_a_names_first_use_loads_what_it_needs_and_no_more():
    loaded = fresh("import sys, accelsim; accelsim.simulate; print(*sys.modules)")
    assert "numpy" in loaded
    assert [name for name in ("matplotlib", "torch", "onnx", "rich") if name in loaded] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(accelsim, name)
    assert callable(value)
    assert value.__doc__
    assert name in dir(accelsim)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        _ = accelsim.simulat


def test_public_functions_stay_functions_after_all_modules_are_imported():
    """A submodule is set on its package when imported: it must not hide a function."""
    for module in pkgutil.walk_packages(accelsim.__path__, "accelsim."):
        importlib.import_module(module.name)
    modules = [name for name in NAMES if isinstance(getattr(accelsim, name), type(sys))]
    assert modules == []


def test_the_calls_of_the_readme_work(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "model.npz"
    np.savez(
        path,
        **{
            "a/weights": rng.standard_normal((30, 40)).astype(np.float32),
            "b/weights": rng.standard_normal((10, 30)).astype(np.float32),
        },
    )
    x = rng.random(40).astype(np.float32)
    network = accelsim.load(path)
    compressed = accelsim.compress(network, density=0.1)
    result = accelsim.simulate(compressed, hardware="eie-64", activations=x, pes=32)
    columns = {"cycles", "latency_us", "sram_row_reads", "utilization_frac", "energy_pj"}
    assert columns <= set(result.layers.columns)
    assert result.layers["name"].tolist() == ["a", "b"]
    assert result.outputs.shape == (10,)
    assert result.outputs_fixed.to_float() == pytest.approx(result.outputs, abs=0.05)
    kept = [layer.n_kept for layer in compressed.layers]
    assert kept == [120, 30]
    frame = accelsim.sweep(compressed, pes=[16, 32, 64, 128], queue_depth=[4, 8, 16])
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == 4 * 3 * 2
    artifact = accelsim.save(compressed, tmp_path / "model.safetensors")
    assert accelsim.load(artifact) == compressed
    assert accelsim.inspect(artifact).file_bytes == artifact.stat().st_size
