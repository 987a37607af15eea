"""The cross compiler and the emulated cores: counts that can be checked by hand, faults, sizes."""

from __future__ import annotations

import importlib.util
import shutil
from collections import Counter
from pathlib import Path

import pytest

from qedge.emulate import (
    CORES,
    Elf,
    EmulationFault,
    Machine,
    QemuMachine,
    check_c,
    compile_c,
    compile_host,
    host_compiler,
    qemu_available,
    run_host,
)
from qedge.errors import ToolError, UsageError, VerificationError

PROGRAM = r"""
#include <stdint.h>
#include <string.h>

int counted(int n);
int32_t sum(const int8_t *data, uint32_t n);
int32_t twice(const int8_t *data, uint32_t n);
int32_t spin(void);
int32_t deep(int32_t n);
int32_t wild(const int32_t *p);
int32_t store(int32_t *p);
float half(float x);
extern int8_t area[64];
extern const int32_t table[32];
extern int32_t ready[4];

int8_t area[64];
int32_t ready[4] = {1, 2, 3, 4};
const int32_t table[32] = {7};

/* 1 + 2 n + 1 instructions. */
__attribute__((naked)) int counted(int n) {
#ifdef __riscv
  __asm__("nop\n1: addi a0, a0, -1\n bnez a0, 1b\n ret");
#else
  __asm__(".syntax unified\n nop\n1: subs r0, r0, #1\n bne 1b\n bx lr");
#endif
}
__attribute__((noinline)) int32_t sum(const int8_t *data, uint32_t n) {
  int32_t total = 0;
  for (uint32_t i = 0; i < n; i++) total += data[i];
  return total;
}
int32_t twice(const int8_t *data, uint32_t n) {
  const int32_t first = sum(data, n);
  return first + sum(data, n / 2u) + table[0];
}
int32_t spin(void) {
  for (volatile int32_t i = 0; i < 100; i = 0) {
  }
  return 0;
}
int32_t deep(int32_t n) {
  volatile char block[256];
  memset((char *)block, n, sizeof block);
  return n <= 0 ? block[3] : deep(n - 1) + block[5];
}
int32_t wild(const int32_t *p) { return *(const volatile int32_t *)p; }
int32_t store(int32_t *p) { *(volatile int32_t *)p = 1; return ready[2]; }
float half(float x) { return x * 0.5f; }
"""
KEEP = ("counted", "sum", "twice", "spin", "deep", "wild", "store", "area", "table", "half")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("emulate") / "program.c"
    path.write_text(PROGRAM)
    return path


@pytest.fixture(scope="module")
def image(program: Path) -> Elf:
    return build(program, "cortex-m4")


def build(program: Path, core: str, cc: str | None = None) -> Elf:
    return compile_c([program], core, keep=KEEP, warnings=("-Wall",), cc=cc)


def gcc_for(core: str) -> str:
    name = CORES[core].gcc_name
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


EMULATED = [name for name, core in CORES.items() if core.unicorn]


@pytest.mark.parametrize("compiler", ["clang", "gcc"])
@pytest.mark.parametrize("core", EMULATED)
def test_counts_are_those_counted_by_hand(program: Path, core: str, compiler: str) -> None:
    machine = Machine(build(program, core, gcc_for(core) if compiler == "gcc" else None), core)
    for n in (1, 2, 100, 5000):
        run = machine.call("counted", n)
        assert run.instructions == 2 * n + 2
        assert run.by_function == {"counted": 2 * n + 2}
        assert sum(run.by_address.values()) == run.instructions


@pytest.mark.parametrize("core", EMULATED)
def test_functions_read_and_write_memory(program: Path, core: str) -> None:
    machine = Machine(build(program, core), core)
    data = bytes([1, 2, 3, 250, 5, 6, 7, 8])
    machine.write("area", data)
    expected = 1 + 2 + 3 - 6 + 5 + 6 + 7 + 8
    assert machine.call("sum", machine.address("area"), 8).value == expected
    buffer = machine.allocate(8)
    machine.write(buffer, data)
    assert machine.call("sum", buffer, 8).value == expected
    assert machine.call("store", buffer).value == 3
    assert machine.read(buffer, 4) == b"\1\0\0\0"


def test_counts_agree_with_a_hook_on_every_instruction_but_those_skipped(image: Elf) -> None:
    import unicorn

    machine = Machine(image)
    machine.write("area", bytes(range(64)))
    seen: Counter[int] = Counter()
    machine._uc.hook_add(unicorn.UC_HOOK_CODE, lambda uc, address, size, _: seen.update([address]))
    run = machine.call("twice", machine.address("area"), 37)
    assert run.value == sum(range(37)) + sum(range(18)) + 7
    # An instruction whose condition in an IT block fails takes its time all the same, but has no hook.
    code = machine.read(0, 0x1000)
    conditional = set()
    for address in run.by_address:
        if code[address + 1] == 0xBF and code[address] & 15:
            length = 4 - ((code[address] & -code[address]).bit_length() - 1)
            later = [a for a in run.by_address if a > address]
            conditional.update(later[:length])
    for address, count in run.by_address.items():
        assert seen[address] == count or (address in conditional and seen[address] < count)
    assert sum(seen[a] for a in run.by_address) > 0.9 * run.instructions


def test_traced_calls_include_what_they_call(image: Elf) -> None:
    machine = Machine(image)
    alone = [machine.call("sum", machine.address("area"), n).instructions for n in (32, 16)]
    run = machine.call("twice", machine.address("area"), 32, trace=["sum", "twice"])
    assert [call.symbol for call in run.calls] == ["sum", "sum", "twice"]
    assert [call.instructions for call in run.calls[:2]] == alone
    assert run.calls[2].instructions == run.instructions
    assert run.by_function["sum"] == sum(alone)


def test_stack_is_measured_and_overflow_is_a_fault(image: Elf) -> None:
    machine = Machine(image, stack_bytes=8192)
    shallow, deeper = machine.call("deep", 1).stack_bytes, machine.call("deep", 11).stack_bytes
    assert (deeper - shallow) % 10 == 0
    assert 256 <= (deeper - shallow) // 10 <= 320
    with pytest.raises(EmulationFault, match="stack overflow"):
        machine.call("deep", 100)
    assert machine.call("deep", 1).stack_bytes == shallow


def test_faults_name_the_function_and_the_address(image: Elf) -> None:
    machine = Machine(image)
    with pytest.raises(EmulationFault, match=r"wild\+0x.*read of unmapped address 0x40000000"):
        machine.call("wild", 0x4000_0000)
    with pytest.raises(EmulationFault, match="write to read-only address"):
        machine.call("store", machine.address("table"))
    assert machine.call("counted", 1).instructions == 4


def test_a_call_that_does_not_return_is_a_fault(image: Elf) -> None:
    with pytest.raises(EmulationFault, match="did not return within 10,000 instructions"):
        Machine(image).call("spin", limit=10_000)


@pytest.mark.parametrize(("core", "refused"), [("cortex-m0plus", True), ("cortex-m4", False)])
def test_unaligned_loads_fault_where_the_core_refuses_them(program: Path, core: str, refused: bool) -> None:
    machine = Machine(build(program, core), core, strict_alignment=True)
    machine.write("area", b"\0\1\2\3\4")
    where = machine.address("area")
    assert machine.call("wild", where).value == 0x03020100
    if refused:
        with pytest.raises(EmulationFault, match="unaligned access of 4 bytes"):
            machine.call("wild", where + 1)
    else:
        assert machine.call("wild", where + 1).value == 0x04030201


needs_qemu = pytest.mark.skipif(not qemu_available(), reason="qemu-system-arm is not installed")


@needs_qemu
@pytest.mark.parametrize("core", ["cortex-m3", "cortex-m4", "cortex-m55", "riscv32"])
def test_qemu_agrees_with_counts_by_hand(program: Path, core: str) -> None:
    if not qemu_available(core):
        pytest.skip("qemu-system-riscv32 is not installed")
    machine = QemuMachine(build(program, core), core)
    for n in (1, 100, 5000):
        run = machine.call("counted", n)
        assert run.instructions in (2 * n + 2, 0)
    buffer = machine.allocate(3000)
    machine.write(buffer, bytes(range(100)) * 30)
    assert machine.read(buffer, 3000) == bytes(range(100)) * 30
    assert machine.call("sum", buffer, 3000).value == sum(range(100)) * 30
    assert 256 <= machine.call("deep", 0).stack_bytes <= 400
    machine.close()


@needs_qemu
def test_qemu_and_unicorn_count_the_same(image: Elf) -> None:
    unicorn, qemu = Machine(image), QemuMachine(image, "cortex-m4")
    for n in (7, 64):
        counts = [m.call("twice", m.address("area"), n).instructions for m in (unicorn, qemu)]
        assert counts[1] in (counts[0], 0)
    qemu.close()


@needs_qemu
def test_qemu_refuses_code_that_does_not_return(image: Elf) -> None:
    with pytest.raises(EmulationFault, match="spin did not return within"):
        QemuMachine(image, "cortex-m4").call("spin", seconds=0.5)


def test_cores_without_a_machine_in_qemu_are_refused(image: Elf) -> None:
    with pytest.raises(ToolError, match="QEMU has no machine for cortex-m0plus"):
        QemuMachine(image, "cortex-m0plus")


def test_sizes_leave_out_the_start_up_code(image: Elf) -> None:
    sizes = image.sizes()
    assert sizes.rodata >= 128
    assert sizes.data == 16
    assert sizes.bss == 64
    functions = [s for s in image.symbols.values() if s.is_function and s.name != "_start"]
    assert 0 < sum(s.size for s in functions) <= sizes.code + 64


def test_unused_functions_are_dropped(program: Path) -> None:
    image = compile_c([program], keep=["counted"], warnings=())
    assert "sum" not in image.symbols
    with pytest.raises(ToolError, match="no symbol 'sum'"):
        Machine(image).call("sum")


def test_warnings_and_errors_of_the_compiler_are_tool_errors(tmp_path: Path) -> None:
    source = tmp_path / "bad.c"
    source.write_text("int f(int a);\nint f(int a) { char c = a; return c; }\n")
    with pytest.raises(ToolError, match="Wimplicit-int-conversion"):
        compile_c([source])
    with pytest.raises(ToolError, match="Wimplicit-int-conversion"):
        check_c([source], "cortex-m55")
    source.write_text("int f(\n")
    with pytest.raises(ToolError, match="expected"):
        compile_c([source])


@pytest.mark.parametrize("flags", ["", " -Os", " -O2 -flto"])
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "riscv32"])
def test_a_gcc_and_its_flags_build_what_clang_builds(program: Path, core: str, flags: str) -> None:
    image = build(program, core, gcc_for(core) + flags)
    machine = Machine(image, core)
    machine.write("area", bytes(range(64)))
    assert machine.call("twice", machine.address("area"), 37).value == sum(range(37)) + sum(range(18)) + 7
    assert machine.call("deep", 1).stack_bytes > 256
    assert image.sizes().rodata >= 128


@pytest.mark.parametrize("compiler", ["clang", "gcc"])
@pytest.mark.parametrize("core", CORES)
def test_the_compiler_knows_what_the_core_has(tmp_path: Path, core: str, compiler: str) -> None:
    source = tmp_path / "features.c"
    lines = []
    for macro, has in (("__ARM_FEATURE_DSP", CORES[core].dsp), ("__ARM_FEATURE_MVE", CORES[core].mve)):
        lines += [f"#if{'n' if has else ''}def {macro}", f"#error {macro}", "#endif"]
    source.write_text("\n".join([*lines, "typedef int nothing;", ""]))
    check_c([source], core, cc=gcc_for(core) if compiler == "gcc" else None)


@pytest.mark.parametrize("wrong", ["gcc", "no-such-gcc", "'"])
def test_a_compiler_for_another_machine_is_refused(program: Path, wrong: str) -> None:
    expected = {"gcc": "expected arm for cortex-m4", "no-such-gcc": "is not installed", "'": "--cc"}[wrong]
    with pytest.raises((ToolError, UsageError), match=expected) as caught:
        build(program, "cortex-m4", wrong)
    assert caught.value.exit_code == (2 if wrong == "'" else 8)


def test_the_second_build_comes_from_the_cache(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QEDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(Path.home() / ".cache" / "qedge" / "zig"))
    header = tmp_path / "include" / "value.h"
    header.parent.mkdir()
    header.write_text("#define VALUE 1\n")
    source = tmp_path / "value.c"
    source.write_text('#include "value.h"\nint value(void);\nint value(void) { return VALUE; }\n')

    def value() -> int:
        return Machine(compile_c([source], includes=[header.parent], keep=["value"])).call("value").value

    assert value() == 1
    (entry,) = (tmp_path / "cache" / "images").iterdir()
    stamp = entry.stat().st_mtime_ns
    assert value() == 1
    assert entry.stat().st_mtime_ns == stamp
    header.write_text("#define VALUE 2\n")
    assert value() == 2


def test_unknown_cores_get_the_nearest_name(program: Path) -> None:
    with pytest.raises(UsageError) as caught:
        compile_c([program], "cortex-m44")
    assert "cortex-m4" in str(caught.value.hint)


def test_a_core_that_the_emulator_lacks_says_so(image: Elf) -> None:
    with pytest.raises(ToolError, match="no cortex-m55"):
        Machine(image, "cortex-m55")


@pytest.mark.parametrize("missing", ["ziglang", "unicorn"])
def test_missing_tools_are_tool_errors(
    missing: str, image: Elf, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    lacking = lambda name, *rest: None if name == missing else real(name, *rest)  # noqa: E731
    monkeypatch.setattr("qedge.emulate.compilers.find_spec", lacking)
    monkeypatch.setattr("qedge.emulate.machine.find_spec", lacking)
    use = {"ziglang": lambda: check_c([program], "cortex-m4"), "unicorn": lambda: Machine(image)}
    with pytest.raises(ToolError, match=missing) as caught:
        use[missing]()
    assert caught.value.exit_code == 8
    assert "pip install" in str(caught.value.hint)


@pytest.mark.parametrize("data", [b"", b"\x7fELF\x02\x01", b"\x7fELF\x01\x01" + b"\xff" * 60])
def test_files_that_are_no_elf_are_refused(data: bytes) -> None:
    with pytest.raises(ToolError, match="ELF"):
        Elf(data)


def test_host_programs_run_and_sanitizers_report(tmp_path: Path) -> None:
    source = tmp_path / "main.c"
    source.write_text(
        "#include <stdio.h>\n"
        "int main(int argc, char **argv) {\n"
        "  int c;\n  (void)argv;\n"
        "  volatile int big = 0x7fffffff;\n"
        "  while ((c = getchar()) != EOF) putchar(c + 1);\n"
        '  if (argc > 1) printf("%d", big + argc);\n  return 0;\n}\n'
    )
    program = compile_host([source], tmp_path / "main")
    assert run_host(program, b"HAL") == b"IBM"
    assert "undefined" in host_compiler().sanitizers
    with pytest.raises(VerificationError, match="main ended"):
        run_host(program, b"", arguments=["overflow"])


def test_a_header_beside_the_source_is_part_of_what_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "answer.c").write_text(
        '#include "answer.h"\nint answer(void);\nint answer(void) { return ANSWER; }\n'
    )
    found = []
    for value in (41, 42):
        (tmp_path / "answer.h").write_text(f"#define ANSWER {value}\n")
        elf = compile_c([tmp_path / "answer.c"], "cortex-m4", keep=["answer"])
        found.append(Machine(elf, "cortex-m4").call("answer").value)
    assert found == [41, 42]
