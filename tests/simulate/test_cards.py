"""One list of cards: `plan` and `simulate` know the same ones, by the same names, with the
same bytes, and of each it is known where its memory was seen."""
import json
import re
import shutil
import subprocess
import sys

import pytest

from where import ROOT

DEVICES = ROOT / "simulator" / "devices"
HELLO = ["--", sys.executable, "-c", "print('hello')"]
MEMORY_ALONE = {"mi300x"}


def profile(card):
    lines = (DEVICES / f"{card}.conf").read_text().splitlines()
    return dict(re.split(r" *= *", line.split("#")[0].strip(), maxsplit=1)
                for line in lines if "=" in line and not line.startswith("#"))


CARDS = sorted(path.stem for path in DEVICES.glob("*.conf"))


@pytest.fixture
def planned(call):
    """The card that plan takes a name for, as its JSON has it; else what it says."""
    def ask(name):
        done = call("plan", "--model", "gpt2", "--gpu", name, "--json")
        if done.returncode:
            assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
            return done.stderr
        fit, = json.loads(done.stdout)["fits"]
        return fit
    return ask


@pytest.fixture
def simulated(call, fake_torch):
    """What simulate says of a card on which other processes hold everything: the simulated
    device has read its profile then, and nothing is run."""
    torch = fake_torch("12.4")

    def ask(name):
        done = call("simulate", "--gpu", name, "--outside", "4000GiB", *HELLO,
                    env={"PYTHONPATH": str(torch)})
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert done.stdout == ""
        return done.stderr
    return ask


def test_both_commands_list_every_card(call):
    plan, simulate = (call(command, "--gpu", "list") for command in ("plan", "simulate"))
    assert plan.returncode == simulate.returncode == 0
    assert plan.stdout == simulate.stdout
    assert sorted(line.split()[0] for line in plan.stdout.splitlines()[1:]) == CARDS


@pytest.mark.parametrize("card", CARDS)
def test_both_commands_know_a_card_with_the_same_bytes(planned, simulated, card):
    known = profile(card)
    fit = planned(card)
    assert fit["gpu"] == card
    assert fit["total_bytes"] == int(known["memory_bytes"])
    assert (fit["source"], fit["as_of"]) == (known["memory_source"], known["memory_date"])
    if card not in MEMORY_ALONE:
        said = simulated(card)
        assert f"'{card}' has {int(known['memory_bytes']) / 2**30:.2f} GiB of memory" in said
        assert "leave nothing" in said


@pytest.mark.parametrize("typed, card", [
    *[(name, "rtx-3090") for name in ("rtx3090", "3090", "RTX 3090", "GeForce RTX 3090",
                                      "NVIDIA GeForce RTX 3090")],
    ("4090", "rtx-4090"), ("rtx4090", "rtx-4090"), ("5090", "rtx-5090"),
    ("4070 ti super", "rtx-4070-ti-super"), ("3060", "rtx-3060"),
    *[(name, "h100-80gb") for name in ("h100", "H100", "h100-sxm", "NVIDIA H100 80GB HBM3")],
    ("A100 80GB", "a100-80gb"), ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
    ("NVIDIA A100 80GB PCIe", "a100-80gb-pcie"), ("NVIDIA A100-PCIE-40GB", "a100-40gb-pcie"),
    ("Tesla T4", "t4"), ("p100", "p100-16gb"), ("Tesla V100-PCIE-32GB", "v100-32gb"),
    ("a6000", "rtx-a6000"), ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
    ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000"), ("b300", "b300"),
    ("dgx-spark", "gb10"),
])
def test_a_card_has_many_spellings(planned, simulated, typed, card):
    assert planned(typed)["gpu"] == card
    assert f"'{card}' has " in simulated(typed)


@pytest.mark.parametrize("typed, cards", [
    ("a100", "'a100-40gb', 'a100-40gb-pcie', 'a100-80gb-pcie' and 'a100-80gb'"),
    ("A100-PCIe", "'a100-40gb-pcie' and 'a100-80gb-pcie'"),
    ("v100", "'v100-16gb' and 'v100-32gb'"),
    ("gh200", "'gh200-120gb' and 'gh200-480gb'"),
    ("3080", "'rtx-3080-10gb' and 'rtx-3080-12gb'"),
    ("NVIDIA GeForce RTX 3080", "'rtx-3080-10gb' and 'rtx-3080-12gb'"),
    ("rtx-4060-ti", "'rtx-4060-ti-8gb' and 'rtx-4060-ti-16gb'"),
    ("5060-ti", "'rtx-5060-ti-8gb' and 'rtx-5060-ti-16gb'"),
])
def test_a_name_of_several_cards_names_them(planned, simulated, typed, cards):
    assert f"several cards go by '{typed}': {cards}" in planned(typed)
    assert f"several cards go by '{typed}': {cards}" in simulated(typed)


def test_close_names_are_offered(planned, simulated):
    for said in (planned("rtx-4085"), simulated("rtx-4085")):
        assert "there is no card 'rtx-4085'; did you mean 'rtx-4080'" in said
        assert "--gpu list" in said
    assert "'rtx-3090'" in planned("3090x") and "'rtx-3090'" in simulated("3090x")


@pytest.mark.parametrize("typed", ["mi300x", "AMD Instinct MI300X"])
def test_a_card_with_its_memory_alone_cannot_be_simulated(planned, simulated, typed):
    assert planned(typed)["gpu"] == "mi300x"
    said = simulated(typed)
    assert "'mi300x' cannot be simulated" in said and "plan --gpu mi300x" in said


@pytest.mark.skipif(not shutil.which("cmake"), reason="there is no cmake here")
def test_a_card_of_which_the_source_is_not_said_is_not_built(tmp_path):
    def embed(text):
        (tmp_path / "some.conf").write_text(text)
        return subprocess.run(["cmake", f"-DFILES={tmp_path / 'some.conf'}",
                               f"-DOUT={tmp_path / 'cards.def'}", "-P",
                               ROOT / "cmake" / "EmbedCards.cmake"],
                              capture_output=True, text=True, timeout=60)
    text = (DEVICES / "rtx-a4000.conf").read_text()
    assert embed(text).returncode == 0
    assert '"DengKaiCQ/VGGT-Long issue 6, which says 15.61 GiB: good to 5 MiB; ' in (
        tmp_path / "cards.def").read_text()
    for key in ("memory_source", "memory_date"):
        done = embed(re.sub(rf"{key} = .*\n", "", text))
        assert done.returncode and "some.conf" in done.stderr
    assert embed(text.replace("memory_bytes = ", "memory_bytes = about ")).returncode
