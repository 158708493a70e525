"""Which pairs a run evaluates: resolved and refused before torch is imported."""

import json
import shutil

import pytest
from models_tiny import tiny_adapter, tiny_base

from harness.errors import ModelError, UsageError
from harness.models import Settings, plan_endpoint, plan_pairs
from harness.records import Example, Prompt


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("pairs")
    tiny_base(place / "base")
    tiny_adapter(place / "sql", place / "base", named="../base")
    return place


def copy(folder, tmp_path, name="sql", **config):
    target = tmp_path / name
    shutil.copytree(folder / "sql", target)
    path = target / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return target


def test_base_comes_first_and_a_relative_base_is_found_beside_the_adapter(folder):
    base, pair = plan_pairs(adapters=[str(folder / "sql")])
    assert (base.name, base.adapter, pair.name, pair.adapter) == ("base", None, "sql", str(folder / "sql"))
    assert base.base == pair.base == str((folder / "base").resolve())
    assert pair.to_json()["adapter_hash"] != base.base_hash
    assert base.download == ""


def test_base_can_be_left_out_and_equal_names_are_numbered(folder, tmp_path):
    again = copy(folder, tmp_path, base_model_name_or_path=str(folder / "base"))
    pairs = plan_pairs(adapters=[str(folder / "sql"), str(again)], include_base=False)
    assert [pair.name for pair in pairs] == ["sql", "sql-2"]


def test_an_adapter_called_base_does_not_pass_for_the_base(folder, tmp_path):
    taken = copy(folder, tmp_path, "base", base_model_name_or_path=str(folder / "base"))
    assert [pair.name for pair in plan_pairs(adapters=[str(taken)])] == ["base", "base-2"]


def test_hash_follows_the_weights(folder, tmp_path):
    same = copy(folder, tmp_path, base_model_name_or_path=str(folder / "base"))
    before = plan_pairs(adapters=[str(same)])[1].fingerprint()
    weights = same / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert plan_pairs(adapters=[str(same)])[1].fingerprint() != before


def test_trainer_folder_gives_its_last_checkpoint_and_says_so(folder, tmp_path):
    for step in (5, 10):
        copy(folder, tmp_path, f"out/checkpoint-{step}", base_model_name_or_path=str(folder / "base"))
    pair = plan_pairs(adapters=[str(tmp_path / "out")])[1]
    assert pair.name == "out"
    assert pair.adapter.endswith("checkpoint-10")
    assert "checkpoint-10" in pair.notes[0]


def test_full_fine_tune_is_a_pair_without_adapter(folder):
    (pair,) = plan_pairs(adapters=[str(folder / "base")])
    assert pair.adapter is None
    assert "whole model" in pair.notes[0]


def test_base_quantised_already_stays_so_and_says_so(folder, tmp_path):
    shutil.copytree(folder / "base", tmp_path / "q")
    config = tmp_path / "q" / "config.json"
    config.write_text(
        json.dumps(json.loads(config.read_text()) | {"quantization_config": {"quant_method": "gptq"}})
    )
    pair = plan_pairs(adapters=[str(copy(folder, tmp_path, base_model_name_or_path="../q"))])[1]
    assert pair.quantized == "gptq"
    assert "gptq" in pair.notes[0]


@pytest.mark.parametrize(
    ("config", "says", "remedy"),
    [
        (
            {"base_model_name_or_path": "/home/ann/models/Qwen2.5-1.5B"},
            "/home/ann/models/Qwen2.5-1.5B",
            "--model",
        ),
        (
            {"base_model_name_or_path": "/x/hub/models--Qwen--Qwen2.5-0.5B/snapshots/1a2b"},
            "not on this machine",
            "--model Qwen/Qwen2.5-0.5B",
        ),
        ({"base_model_name_or_path": None}, "does not name its base", "--model"),
        ({"peft_type": "PREFIX_TUNING"}, "PREFIX_TUNING", "LoRA"),
    ],
)
def test_what_cannot_work_says_what_to_do(folder, tmp_path, config, says, remedy):
    adapter = copy(folder, tmp_path, **{"base_model_name_or_path": str(folder / "base"), **config})
    with pytest.raises(ModelError) as caught:
        plan_pairs(adapters=[str(adapter)])
    assert says in caught.value.problem
    assert remedy in caught.value.remedy


def test_model_overrides_the_vanished_base(folder, tmp_path):
    adapter = copy(folder, tmp_path, base_model_name_or_path="/gone")
    assert plan_pairs(adapters=[str(adapter)], model=str(folder / "base"))[1].base == str(folder / "base")


def test_adapter_for_another_architecture_is_refused_from_headers_alone(folder, tmp_path):
    wide = tiny_base(tmp_path / "wide", hidden_size=96)
    with pytest.raises(ModelError, match=r"does not fit base .*64"):
        plan_pairs(adapters=[str(folder / "sql")], model=str(wide))


def test_missing_empty_and_torn_folders(folder, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="does not exist"):
        plan_pairs(adapters=[str(tmp_path / "nothing")])
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ModelError, match=r"adapter folder .* does not exist"):
        plan_pairs(adapters=[f"{folder.name}/nothing"])
    (tmp_path / "readme").mkdir()
    (tmp_path / "readme" / "README.md").write_text("hello")
    with pytest.raises(ModelError, match=r"it holds README\.md"):
        plan_pairs(adapters=[str(tmp_path / "readme")])
    torn = copy(folder, tmp_path, base_model_name_or_path=str(folder / "base"))
    (torn / "adapter_model.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(ModelError, match="not a safetensors file"):
        plan_pairs(adapters=[str(torn)])
    (torn / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors"):
        plan_pairs(adapters=[str(torn)])


def test_hub_id_offline_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="hf download someone/adapter"):
        plan_pairs(adapters=["someone/adapter"])


def test_prompt_of_the_adapter_a_file_and_one_each(folder, tmp_path):
    one = copy(folder, tmp_path, base_model_name_or_path=str(folder / "base"))
    (one / "prompt.yaml").write_text("system: null\nuser: '{context} {question}'\n")
    file = tmp_path / "p.json"
    file.write_text(json.dumps({"form": "plain", "user": "Q {question}"}))
    base, own, filed = plan_pairs(adapters=[str(one), str(folder / "sql")], prompts=["adapter", str(file)])
    assert own.prompt == Prompt(system=None, user="{context} {question}", origin="adapter")
    assert base.prompt == own.prompt, "a base is asked as its first adapter is"
    assert (filed.prompt.form, filed.prompt.user, filed.prompt.origin) == ("plain", "Q {question}", str(file))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sytem: x", "'sytem'"),
        ("[1]", "no mapping"),
        ("form: chatty", "chatty"),
        ("user: hello", "{question}"),
        ("user: 3", "text"),
    ],
)
def test_malformed_prompt_files(folder, tmp_path, text, says):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        plan_pairs(adapters=[str(folder / "sql")], prompts=[str(tmp_path / "p.yaml")])
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("e.txt", "", "{question}"),
        ("e.txt", "{context}", "{question}"),
        ("e.yaml", "", "no mapping"),
        ("e.yaml", "user: ''", "{question}"),
        ("e.jinja", " \n", "chat template is empty"),
        ("e.yaml", "chat_template: ''", "chat template is empty"),
        ("e.yaml", "chat_template: gone.jinja", "gone.jinja"),
    ],
)
def test_prompts_that_ask_nothing_are_refused(folder, tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        plan_pairs(adapters=[str(folder / "sql")], prompts=[str(tmp_path / name)])
    assert says in caught.value.problem
    assert caught.value.remedy
    with pytest.raises(UsageError):
        plan_endpoint("http://x", ["m"], prompts=[str(tmp_path / name)])


def test_an_empty_prompt_is_an_error_and_not_too_long():
    from harness.models.prompts import render

    row = Example(id="7", question=" ", context="c", gold="")
    with pytest.raises(ModelError, match="prompt of example 7 is empty") as caught:
        render(Prompt(form="plain", user="{question}"), [row], None)
    assert "--prompt" in caught.value.remedy


def test_adapters_chat_template_file_wins(folder, tmp_path):
    own = copy(folder, tmp_path, base_model_name_or_path=str(folder / "base"))
    (own / "chat_template.jinja").write_text("own")
    base, pair = plan_pairs(adapters=[str(own)])
    assert (base.prompt.chat_template, pair.prompt.chat_template) == (None, "own")


def test_a_template_that_is_the_bases_own_is_no_other_prompt(folder, tmp_path):
    """Training saves the base's template beside the adapter, byte for byte: the words are the same."""
    base = tmp_path / "base"
    shutil.copytree(folder / "base", base)
    (base / "chat_template.jinja").write_text("the base's")
    own = copy(folder, tmp_path, base_model_name_or_path=str(base))
    for text, known in (("the base's", None), ("another", "another")):
        (own / "chat_template.jinja").write_text(text)
        first, pair = plan_pairs(adapters=[str(own)])
        assert (first.prompt.chat_template, pair.prompt.chat_template) == (None, known)


def test_settings_that_do_not_go_together():
    with pytest.raises(UsageError, match="temperature"):
        Settings(samples=3)
    with pytest.raises(UsageError):
        Settings(batch_size=0)
    assert "batch_size" not in Settings().fingerprint()


def test_endpoint_rows():
    rows = plan_endpoint("http://x", ["org/a", "org/a"], benchmark_prompt=Prompt())
    assert [row.name for row in rows] == ["org__a", "org__a-2"]
    with pytest.raises(UsageError, match="--model"):
        plan_endpoint("http://x", [])


def test_prompt_templates_keep_braces_of_the_data():
    from harness.models.prompts import messages

    turns = messages(Prompt(), Example(id="0", question="what is {context}?", context="C{0}", gold=""))
    assert turns[1]["content"] == "C{0}\nQuestion: what is {context}?"


def test_hub_adapter_is_fetched_and_its_base_announced(folder, tmp_path, monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    class Hub:
        def model_info(self, name, **_):
            files = {
                "me/sql": ["adapter_config.json", "adapter_model.safetensors"],
                "org/big": ["config.json", "w.safetensors"],
            }
            sizes = {"w.safetensors": 3_000_000_000}
            entry = type("File", (), {})
            siblings = []
            for file in files[name]:
                one = entry()
                one.rfilename, one.size = file, sizes.get(file, 100)
                siblings.append(one)
            return type("Info", (), {"siblings": siblings, "sha": f"sha-of-{name}"})()

    adapter = copy(folder, tmp_path, base_model_name_or_path="org/big")
    fetched = []

    def snapshot(name, *, local_files_only=False, **_):
        if local_files_only:
            raise LocalEntryNotFoundError("not here")
        fetched.append(name)
        return str(adapter)

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    places = {"me/sql": adapter / "adapter_config.json", "org/big": folder / "base" / "config.json"}
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda name, file, **_: str(places[name]))
    base, pair = plan_pairs(adapters=["me/sql"])
    assert (pair.name, pair.adapter, pair.adapter_hash) == ("me__sql", str(adapter), "sha-of-me/sql")
    assert (base.base, base.base_hash) == ("org/big", "sha-of-org/big")
    assert base.download == "org/big: 3.00 GB to fetch once, about 5 min at 10 MB/s"
    assert fetched == ["me/sql"], "a base is not fetched before it was announced"
