import json

import pytest

from accelsim.errors import HardwareError, InputError
from accelsim.hardware.accelerator import (
    HUFFMAN_FIELDS,
    PRESETS,
    Accelerator,
    accelerator,
    parse_override,
    preset_names,
)

OTHER_VALUES = {
    "name": "mine",
    "pes": 3,
    "queue_depth": 5,
    "row_bits": 100,
    "code_bits": 3,
    "run_bits": 2,
    "pointer_bits": 20,
    "arithmetic_bits": 32,
    "activation_frac_bits": 7,
    "clock_mhz": 123.5,
    "decoder": "huffman",
    "decoder_placement": "shared",
    "decoder_design": "two_level",
    "huffman_alphabet": "joint",
    "bits_per_cycle": 2,
    "first_level_bits": 6,
    "entries_per_cycle": 3,
    "window_bits": 14,
    "sub_streams": 2,
    "shared_by": 8,
    "column_alignment": "row",
    "multipliers": 4,
    "row_buffer_rows": 2,
    "sram_latency_cycles": 3,
    "weights_in": "dram",
    "max_code_length": 14,
    "weight_sram_bytes": 1000,
    "pointer_sram_bytes": 1001,
    "activation_sram_bytes": 1002,
    "overflow": "stream",
    "technology": "other.toml",
    "vector_lanes": 16,
    "dram": "hbm2",
    "dram_energy": "commands",
}


@pytest.mark.parametrize(("name", "pes"), [("eie-64", 64), ("eie-256", 256)])
def test_presets_are_the_published_machines(name, pes):
    machine = accelerator(name)
    assert (machine.name, machine.pes, machine.queue_depth, machine.row_bits) == (name, pes, 8, 64)
    assert (machine.entry_bits, machine.arithmetic_bits, machine.decoder) == (8, 16, "fixed")
    assert machine.cycle_us == 1 / 800
    kib = [machine.weight_sram_bytes, machine.pointer_sram_bytes, machine.activation_sram_bytes]
    assert kib == [128 * 1024, 32 * 1024, 2 * 1024]


def test_every_preset_file_is_listed_and_loads_under_its_own_name():
    assert preset_names() == sorted(path.stem for path in PRESETS.glob("*.toml"))
    assert [accelerator(name).name for name in preset_names()] == preset_names()


def test_each_field_has_a_case_here():
    assert set(OTHER_VALUES) == set(Accelerator.model_fields)


def base_of(field):
    """A machine on which the field has a meaning."""
    return accelerator("eie-64", decoder="huffman" if field in HUFFMAN_FIELDS else "fixed")


@pytest.mark.parametrize(("field", "value"), OTHER_VALUES.items())
def test_a_field_is_overridden_alone(field, value):
    before = base_of(field)
    after = accelerator(before, **{field: value})
    assert getattr(before, field) != value
    assert after.model_dump() == before.model_dump() | {field: value}
    assert accelerator(after, **{field: getattr(before, field)}) == before


@pytest.mark.parametrize(
    ("field", "value"), [(f, v) for f, v in OTHER_VALUES.items() if not isinstance(v, str)]
)
def test_numbers_come_as_text_from_the_command_line(field, value):
    name, text = parse_override(f" {field} = {value} ")
    assert getattr(accelerator(base_of(field), **{name: text}), field) == value


@pytest.mark.parametrize("text", ["abc", "3.5", "", "0x10", "1e3", "-1", "0", None])
def test_a_count_that_is_none_is_refused_with_field_and_value(text):
    with pytest.raises(HardwareError, match="machine 'eie-64': pes=") as error:
        accelerator("eie-64", pes=text)
    assert repr(text) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pes", 65537),
        ("queue_depth", 1),
        ("row_bits", 0),
        ("code_bits", 0),
        ("code_bits", 9),
        ("run_bits", 9),
        ("pointer_bits", 65),
        ("arithmetic_bits", 24),
        ("arithmetic_bits", "24"),
        ("arithmetic_bits", "sixteen"),
        ("activation_frac_bits", 31),
        ("activation_frac_bits", -1),
        ("clock_mhz", 0),
        ("clock_mhz", "nan"),
        ("clock_mhz", "inf"),
        ("decoder", "gzip"),
        ("decoder_placement", "outside"),
        ("decoder_design", "parallel"),
        ("huffman_alphabet", "both"),
        ("bits_per_cycle", 0),
        ("first_level_bits", 0),
        ("first_level_bits", 16),
        ("entries_per_cycle", 17),
        ("window_bits", 25),
        ("sub_streams", 0),
        ("sub_streams", 17),
        ("shared_by", 0),
        ("column_alignment", "word"),
        ("multipliers", 17),
        ("row_buffer_rows", 0),
        ("row_buffer_rows", 65),
        ("sram_latency_cycles", -1),
        ("sram_latency_cycles", 65),
        ("weights_in", "flash"),
        ("max_code_length", 7),
        ("max_code_length", 16),
        ("weight_sram_bytes", 0),
        ("pointer_sram_bytes", 2**41),
        ("overflow", "ignore"),
        ("technology", 45),
    ],
)
def test_values_out_of_range_are_named(field, value):
    with pytest.raises(HardwareError, match=f"machine 'eie-64': {field}="):
        accelerator("eie-64", **{field: value})


@pytest.mark.parametrize(
    ("unknown", "meant"), [("pe", "pes"), ("queue_dept", "queue_depth"), ("rowbits", "row_bits")]
)
def test_an_unknown_field_is_answered_with_the_nearest(unknown, meant):
    with pytest.raises(HardwareError, match=f"unknown field '{unknown}'; did you mean '{meant}'"):
        accelerator("eie-64", **{unknown: 1})


def test_a_field_like_no_other_is_answered_with_all_of_them():
    with pytest.raises(HardwareError, match="the fields are name, pes, queue_depth"):
        accelerator("eie-64", zzzzz=1)


def test_a_row_holds_an_entry_at_least():
    assert accelerator("eie-64", row_bits=8).row_bits == 8
    with pytest.raises(HardwareError, match=r"row_bits=7 is less than .* = 8 bits"):
        accelerator("eie-64", row_bits=7)
    with pytest.raises(HardwareError, match="row_bits=12"):
        accelerator("eie-64", row_bits=12, run_bits=8, code_bits=5)
    # Dense weights have neither codes nor runs.
    assert accelerator("eie-64", row_bits=4, decoder="dense").row_bits == 4


@pytest.mark.parametrize(
    "field", ["pes", "clock_mhz", "vector_lanes", "arithmetic_bits", "decoder"]
)
def test_true_is_no_value(tmp_path, field):
    message = f"{field}=True: is no number and no name: give one"
    with pytest.raises(HardwareError, match=message):
        accelerator("eie-64", **{field: True})
    fields = accelerator("eie-64").model_dump(exclude_none=True) | {field: True}
    path = tmp_path / "machine.toml"
    path.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in fields.items()))
    with pytest.raises(HardwareError, match=message) as error:
        accelerator(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("decoder", ["fixed", "dense"])
@pytest.mark.parametrize("field", HUFFMAN_FIELDS)
def test_what_only_huffman_streams_have_is_refused_without_them(field, decoder):
    value = OTHER_VALUES[field]
    with pytest.raises(HardwareError) as error:
        accelerator("eie-64", decoder=decoder, **{field: value})
    message = str(error.value)
    assert f"{field}={value} is for Huffman streams, but decoder={decoder}" in message
    assert "set decoder=huffman" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "fields",
    [{"decoder": "fixed"}, {"decoder": "dense"}, {"decoder_placement": "load"}],
)
def test_only_streams_in_the_sram_begin_at_bytes(fields):
    fields = {"decoder": "huffman"} | fields
    with pytest.raises(
        HardwareError, match=r"column_alignment=byte is for Huffman streams .* set "
    ):
        accelerator("eie-64", column_alignment="byte", **fields)
    assert accelerator("eie-64", column_alignment="row", **fields).column_alignment == "row"


def test_another_decoder_leaves_behind_what_only_huffman_streams_have():
    streams = accelerator(
        "eie-64",
        decoder="huffman",
        decoder_placement="shared",
        huffman_alphabet="joint",
        sub_streams=3,
        column_alignment="byte",
        multipliers=2,
    )
    assert streams.with_decoder("dense") == accelerator("eie-64", decoder="dense", multipliers=2)
    assert streams.with_decoder("huffman") == streams
    rows = accelerator("eie-64", column_alignment="row")
    assert rows.with_decoder("dense").column_alignment == "row"


def test_sizes_need_not_be_powers_of_two():
    machine = accelerator("eie-64", pes=47, queue_depth=7, row_bits=61, weight_sram_bytes=99_999)
    assert (machine.pes, machine.queue_depth, machine.row_bits) == (47, 7, 61)


def test_none_can_be_written_on_the_command_line():
    fixed = accelerator("eie-64", activation_frac_bits=8)
    name, value = parse_override("activation_frac_bits=none")
    assert accelerator(fixed, **{name: value}).activation_frac_bits is None


@pytest.mark.parametrize("text", ["pes", "=3", "pes=", " = ", ""])
def test_an_override_is_field_equals_value(text):
    with pytest.raises(HardwareError, match="write field=value"):
        parse_override(text)


def test_an_override_splits_at_the_first_equals():
    assert parse_override("technology=a=b.toml") == ("technology", "a=b.toml")


def test_a_machine_from_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    text = (PRESETS / "eie-64.toml").read_text(encoding="utf-8")
    path.write_text(text.replace("pes = 64", "pes = 12"), encoding="utf-8")
    assert accelerator(path) == accelerator(str(path)) == accelerator("eie-64", pes=12)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"pes = = 3", "not valid TOML"),
        (b"\xff\xfe", "not valid TOML"),
        (b"pes = 3", "field 'queue_depth' is missing"),
        (b"[pes]\nx = 1", r"pes=\{'x': 1\}"),
        (b"", "field 'pes' is missing"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, message):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(HardwareError, match=message) as error:
        accelerator(path)
    assert str(error.value).startswith(str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml: no such file"):
        accelerator(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("name", "message"),
    [("eie64", "did you mean 'eie-64'"), ("tpu", "the presets are eie-256, eie-64")],
)
def test_an_unknown_preset_is_answered_with_the_known_ones(name, message):
    with pytest.raises(HardwareError, match=message):
        accelerator(name)


def test_a_machine_cannot_be_changed_in_place():
    machine = accelerator("eie-64")
    with pytest.raises(ValueError, match="frozen"):
        machine.pes = 3
