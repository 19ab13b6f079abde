"""Jobs of a study: run once, and never mistaken for others."""

import dataclasses
import sys
from pathlib import Path

import pytest

from lt_det.compare.studies.study import Study
from lt_det.compare.studies.study_jobs import Job, run_comparison, run_study
from lt_det.compare.studies.study_run import _STUDIES


def python_job(tmp_path: Path, code: str, settings: str = "tool: python") -> Job:
    command = [sys.executable, "-c", code]
    return Job("job", command, settings, tmp_path / "done", tmp_path / "job.log")


def test_a_job_that_is_done_is_not_repeated(tmp_path):
    code = f"from pathlib import Path; p = Path({str(tmp_path / 'done')!r}); p.open('a').write('x')"
    for _ in range(2):
        python_job(tmp_path, code).run(1)
    assert (tmp_path / "done").read_text() == "x"


@pytest.mark.parametrize("code", ["raise SystemExit('boom')", "print('boom')"])
def test_a_failed_job_shows_its_log(tmp_path, code):
    """Failing is an exit code, or success without the result."""
    with pytest.raises(RuntimeError, match="boom"):
        python_job(tmp_path, code).run(1)


KEPT = "data: {seed: 0}\nSOLVER: {BASE_LR: 0.1, META: {NAME: MetaSampler}}"


@pytest.fixture
def with_a_run(tmp_path):
    """Returns a function that checks settings against the run of KEPT."""
    python_job(tmp_path, f"open({str(tmp_path / 'done')!r}, 'w')", KEPT).run(1)
    return lambda settings: python_job(tmp_path, "pass", settings).check_settings()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("BASE_LR: 0.1", "BASE_LR: 0.5", r"SOLVER.BASE_LR 0.1 is now 0.5\): remove"),
        ("{seed: 0}", "{seed: 0, preset: tiny}", "data.preset None is now 'tiny'"),
        ("data: {seed: 0}\n", "", "data.seed 0 is now None"),
        ("{NAME: MetaSampler}", "{NAME: ''}", "META.NAME 'MetaSampler' is now ''"),
        (", META: {NAME: MetaSampler}", "", "META.NAME 'MetaSampler' is now ''"),
        ("META: {", "META: {BASE_LR: 0.5, ", "META.BASE_LR 0.01 is now 0.5"),
    ],
)
def test_a_run_of_other_settings_is_refused(with_a_run, old, new, message):
    with pytest.raises(ValueError, match=message):
        with_a_run(KEPT.replace(old, new))


def test_a_key_of_a_later_version_at_its_default_is_no_other_setting(with_a_run):
    with_a_run(KEPT)
    with_a_run(KEPT.replace("META: {", "META: {BASE_LR: 0.01, RESCALE: true, "))


def test_a_folder_without_a_run_is_of_any_settings(tmp_path):
    python_job(tmp_path, "pass").check_settings()


def test_a_row_without_stage_1_trains_from_scratch(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(Job, "run", lambda job, num_threads: ran.append(job))
    monkeypatch.setattr("lt_det.compare.studies.study_jobs.make_data", lambda data: None)
    study = Study.load(_STUDIES / "end_to_end.yaml")
    run_study(study, tmp_path, 1)
    # The first seed of all rows before the others.
    seeds = [int(job.name[-1]) for job in ran]
    assert seeds == sorted(seeds)
    assert len(ran) == len(study.rows) * len(study.seeds)
    for job in ran:
        assert Path(job.command[1]).name == "train_net.py"
        assert "MODEL.WEIGHTS" not in job.command
        assert "SOLVER.MAX_ITER" not in job.command  # one budget, the base config's


def test_a_study_with_one_changed_setting_runs_nothing(tmp_path, monkeypatch):
    """The whole study is checked before its first job, data included."""
    ran = []
    monkeypatch.setattr(Job, "run", lambda job, num_threads: ran.append(job))
    monkeypatch.setattr("lt_det.compare.studies.study_jobs.make_data", ran.append)
    study = Study.load(_STUDIES / "ci.yaml")
    run_study(study, tmp_path, 1)
    data, _, *rows = ran
    assert data == study.data
    assert [job.name for job in rows] == [f"{row.folder}/seed1" for row in study.rows]
    rows[-1].log.parent.mkdir(parents=True)
    (rows[-1].log.parent / "job_settings.yaml").write_text(rows[-1].settings)
    run_study(study, tmp_path, 1)
    assert len(ran) == 2 * (2 + len(rows))
    study.opts.extend(["SOLVER.BASE_LR", 0.123])
    with pytest.raises(ValueError, match=r"BASE_LR.* is now .*0\.123"):
        run_study(study, tmp_path, 1)
    assert len(ran) == 2 * (2 + len(rows))


def test_settings_do_not_depend_on_the_place(tmp_path, monkeypatch):
    settings = []
    monkeypatch.setattr(Job, "run", lambda job, num_threads: settings.append(job.settings))
    monkeypatch.setattr("lt_det.compare.studies.study_jobs.make_data", lambda arguments: None)
    study = Study.load(_STUDIES / "ci.yaml")
    run_study(study, tmp_path / "a", 1)
    run_study(study, tmp_path / "b", 1)
    half = len(settings) // 2
    assert settings[:half] == settings[half:]
    assert len(set(settings[:half])) == half


def test_stage_1_may_have_options_of_its_own(tmp_path, monkeypatch):
    jobs = {}
    monkeypatch.setattr(Job, "run", lambda job, num_threads: jobs.update({job.name: job.settings}))
    monkeypatch.setattr("lt_det.compare.studies.study_jobs.make_data", lambda arguments: None)
    study = Study.load(_STUDIES / "ci.yaml")
    study = dataclasses.replace(study, stage1_opts=["SOLVER.MAX_ITER", 7])
    run_study(study, tmp_path, 1)
    assert "MAX_ITER: 7" in jobs["softmax/seed1"]
    assert all("MAX_ITER: 10" in jobs[f"{row.folder}/seed1"] for row in study.rows)


def test_a_comparison_alone_leaves_evaluation_to_itself(tmp_path, monkeypatch):
    """Stage 1 is trained; the comparison begins with its weights, and says what failed."""
    jobs, commands = [], []
    monkeypatch.setattr(Job, "run", lambda job, num_threads: jobs.append(job))
    monkeypatch.setattr("lt_det.compare.studies.study_jobs.make_data", lambda arguments: None)
    study = Study.load(_STUDIES / "demo.yaml")
    run_study(study, tmp_path, 1)
    (stage1,) = jobs
    assert stage1.done == tmp_path / "softmax" / "seed1" / "model_final.pth"
    assert list(stage1.command[-2:]) == ["DATASETS.TEST", "()"]
    monkeypatch.setattr("subprocess.run", lambda command, check: commands.append(command))
    assert run_comparison(study, tmp_path, 1) == tmp_path / "compare" / "seed1"
    (command,) = commands
    assert command[-2:] == ["MODEL.WEIGHTS", str(stage1.done)]
    assert command[command.index("--dev") + 1] == "openmoji_quick_dev"
