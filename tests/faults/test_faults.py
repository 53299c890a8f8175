"""Each fault of faults.py against its program: the program is itself, one sentence, and the
trace has what the witness saw or says what it has not."""

import faults
import pytest


SHORT = [f for f in faults.FAULTS if not f.long]


@pytest.mark.turns(3)
@pytest.mark.parametrize("fault", SHORT, ids=lambda fault: fault.name)
def test_the_program_is_itself_and_nothing_is_lost_unsaid(fault, tmp_path):
    try:
        wrong = faults.judge(fault, tmp_path)
    except faults.Skip as why:
        pytest.skip(str(why))
    assert not wrong, "\n".join(wrong)
