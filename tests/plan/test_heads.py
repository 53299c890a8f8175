"""Encoders, and the heads that any model is trained with: by `architectures` or by --task."""
import json

import pytest

# numel() summed over parameters() of what transformers 5.23 makes of the config, on meta.
COUNTED = {
    "bert-base, words": (109_514_298,
        {"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 30522,
         "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size":
         3072, "max_position_embeddings": 512, "type_vocab_size": 2}),
    "bert-base, 9 classes of tokens": (108_898_569,
        {"model_type": "bert", "architectures": ["BertForTokenClassification"], "vocab_size": 30522,
         "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size":
         3072, "max_position_embeddings": 512, "type_vocab_size": 2, "num_labels": 9}),
    "bert-base, samples": (109_484_547,
        {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "vocab_size":
         30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
         "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2, "id2label":
         {"0": "a", "1": "b", "2": "c"}}),
    "roberta-base, words": (124_697_433,
        {"model_type": "roberta", "architectures": ["RobertaForMaskedLM"], "vocab_size": 50265,
         "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size":
         3072, "max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1}),
    "roberta-base, samples": (124_647_170,
        {"model_type": "roberta", "architectures": ["RobertaForSequenceClassification"],
         "vocab_size": 50265, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
         "intermediate_size": 3072, "max_position_embeddings": 514, "type_vocab_size": 1,
         "pad_token_id": 1}),
    "xlm-roberta-base, words": (278_295_186,
        {"model_type": "xlm-roberta", "architectures": ["XLMRobertaForMaskedLM"], "vocab_size":
         250002, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
         "intermediate_size": 3072, "max_position_embeddings": 514, "type_vocab_size": 1,
         "pad_token_id": 1}),
    "distilbert-base, words": (66_985_530,
        {"model_type": "distilbert", "architectures": ["DistilBertForMaskedLM"], "dim": 768,
         "n_layers": 6, "n_heads": 12, "hidden_dim": 3072, "vocab_size": 30522,
         "max_position_embeddings": 512}),
    "distilbert-base, samples": (66_955_010,
        {"model_type": "distilbert", "architectures": ["DistilBertForSequenceClassification"],
         "dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072, "vocab_size": 30522,
         "max_position_embeddings": 512}),
    "electra-small, words": (13_546_682,
        {"model_type": "electra", "architectures": ["ElectraForMaskedLM"], "vocab_size": 30522,
         "hidden_size": 256, "num_hidden_layers": 12, "num_attention_heads": 4, "intermediate_size":
         1024, "max_position_embeddings": 512, "type_vocab_size": 2, "embedding_size": 128}),
    "electra-base, samples": (109_483_778,
        {"model_type": "electra", "architectures": ["ElectraForSequenceClassification"],
         "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
         "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2,
         "embedding_size": 768}),
    "albert-base, words": (11_221_680,
        {"model_type": "albert", "architectures": ["AlbertForMaskedLM"], "vocab_size": 30000,
         "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size":
         3072, "max_position_embeddings": 512, "type_vocab_size": 2, "embedding_size": 128}),
    "albert-base, samples": (25_860_866,
        {"model_type": "albert", "architectures": ["AlbertForSequenceClassification"], "vocab_size":
         30000, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
         "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2,
         "embedding_size": 128, "num_hidden_groups": 3}),
    "deberta-v3-base, words": (184_551_780,
        {"model_type": "deberta-v2", "architectures": ["DebertaV2ForMaskedLM"], "vocab_size":
         128100, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
         "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 0,
         "relative_attention": True, "position_buckets": 256, "norm_rel_ebd": "layer_norm",
         "share_att_key": True, "pos_att_type": "p2c|c2p", "position_biased_input": False}),
    "deberta-v3-base, samples": (184_423_682,
        {"model_type": "deberta-v2", "architectures": ["DebertaV2ForSequenceClassification"],
         "vocab_size": 128100, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads":
         12, "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 0,
         "relative_attention": True, "position_buckets": 256, "norm_rel_ebd": "layer_norm",
         "share_att_key": True, "pos_att_type": "p2c|c2p", "position_biased_input": False}),
    "deberta-v2, tokens": (100_483_074,
        {"model_type": "deberta-v2", "architectures": ["DebertaV2ForTokenClassification"],
         "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
         "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2,
         "relative_attention": True, "max_relative_positions": 128, "pos_att_type": ["c2p"],
         "embedding_size": 256}),
    "llama, samples": (9_373_440,
        {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"], "vocab_size":
         32000, "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "intermediate_size": 512, "pad_token_id": 0}),
    "llama, tokens": (9_373_442,
        {"model_type": "llama", "architectures": ["LlamaForTokenClassification"], "vocab_size":
         32000, "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "intermediate_size": 512, "pad_token_id": 0}),
    "gpt2, tokens": (1_869_314,
        {"model_type": "gpt2", "architectures": ["GPT2ForTokenClassification"], "n_embd": 256,
         "n_layer": 2, "n_head": 4, "n_positions": 128, "vocab_size": 1000}),
    "t5-small": (60_506_624, {
        "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": 512,
        "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_decoder_layers": 6, "num_heads": 8,
        "vocab_size": 32128}),
    "flan-t5, two lengths": (54_217_088, {
        "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": 512,
        "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 6, "num_heads": 6,
        "vocab_size": 32128, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "mt5": (165_824_896, {
        "model_type": "mt5", "architectures": ["MT5ForConditionalGeneration"], "d_model": 512,
        "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 6, "num_heads": 6,
        "vocab_size": 250112}),
    "bart": (120_516_864, {
        "model_type": "bart", "architectures": ["BartForConditionalGeneration"], "d_model": 768,
        "encoder_layers": 6, "decoder_layers": 4, "encoder_ffn_dim": 3072,
        "decoder_ffn_dim": 3072, "encoder_attention_heads": 12, "decoder_attention_heads": 12,
        "vocab_size": 50265, "max_position_embeddings": 1024}),
    "whisper-tiny": (37_760_640, {
        "model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"],
        "d_model": 384, "encoder_layers": 4, "decoder_layers": 4, "encoder_ffn_dim": 1536,
        "decoder_ffn_dim": 1536, "encoder_attention_heads": 6, "decoder_attention_heads": 6,
        "vocab_size": 51865, "max_source_positions": 1500, "max_target_positions": 448}),
    "vit-b-16": (86_567_656, {
        "model_type": "vit", "architectures": ["ViTForImageClassification"], "hidden_size": 768,
        "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
        "image_size": 224, "patch_size": 16, "num_labels": 1000}),
}
BERT = COUNTED["bert-base, words"][1]
LLAMA = COUNTED["llama, samples"][1]
T5, BART = COUNTED["t5-small"][1], COUNTED["bart"][1]
VIT, WHISPER = COUNTED["vit-b-16"][1], COUNTED["whisper-tiny"][1]


@pytest.fixture
def config(plan, tmp_path):
    def call(content, *words):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(content))
        seq = [] if content["model_type"] in ("vit", "whisper") else ["--seq", "64"]
        return plan("--config", path, *seq, *words, "--json")
    return call


@pytest.mark.parametrize("name", COUNTED)
def test_a_config_has_as_many_parameters_as_its_model(config, name):
    parameters, content = COUNTED[name]
    answer = json.loads(config(content).stdout)
    assert answer["parameters"] == parameters
    assert answer["peak"], "its training step is not known"
    assert not [note for note in answer["notes"] if "--task" in note]


def test_a_sound_is_as_long_as_the_config_says(config):
    whole = json.loads(config(WHISPER).stdout)
    short = json.loads(config(WHISPER, "--target-seq", "64").stdout)
    assert whole["training"]["seq"] == 1500
    assert any("a target of 448 tokens" in note for note in whole["notes"])
    assert short["peak_allocated_bytes"] < whole["peak_allocated_bytes"]
    assert whole["parameters"] - whole["trainable"] == 1500 * 384  # positions of the sound


def without(content):
    return {key: value for key, value in content.items() if key != "architectures"}


def test_an_encoder_without_a_class_is_said_to_have_words(config):
    answer = json.loads(config(without(BERT)).stdout)
    assert answer["parameters"] == COUNTED["bert-base, words"][0]
    assert answer["training"]["task"] == "masked-lm"
    assert any("words (masked-lm) are assumed" in note for note in answer["notes"])


def test_a_decoder_without_a_class_has_words_and_says_nothing(config):
    answer = json.loads(config(without(LLAMA)).stdout)
    assert answer["training"]["task"] == "causal-lm"
    assert not [note for note in answer["notes"] if "--task" in note]


@pytest.mark.parametrize("name", ["bert-base, words", "roberta-base, samples", "llama, samples",
                                  "llama, tokens", "albert-base, words"])
def test_a_task_is_the_same_as_its_class(config, name):
    parameters, content = COUNTED[name]
    task = json.loads(config(content).stdout)["training"]["task"]
    by_task = json.loads(config(without(content), "--task", task).stdout)
    assert by_task["parameters"] == parameters
    assert by_task["peak"] == json.loads(config(content).stdout)["peak"]


def test_a_task_goes_over_the_class(config):
    answer = json.loads(config(BERT, "--task", "token-classification").stdout)
    assert answer["parameters"] == COUNTED["bert-base, 9 classes of tokens"][0] - 7 * 769


def test_a_class_that_is_not_understood_has_no_peak(config):
    answer = json.loads(config({**BERT, "architectures": ["BertForMultipleChoice"]}).stdout)
    assert answer["peak"] is None and answer["training"]["task"] is None
    assert any("head is not understood" in note for note in answer["notes"])


@pytest.mark.parametrize("content, task", [
    (BERT, "causal-lm"), (LLAMA, "masked-lm"), (LLAMA, "seq2seq"), (BERT, "seq2seq"),
    ({**LLAMA, "model_type": "granite", "architectures": ["GraniteForCausalLM"]},
     "sequence-classification")])
def test_a_task_that_a_kind_does_not_have(config, content, task):
    done = config(content, "--task", task)
    assert done.returncode == 2 and f"'--task {task}' is not known" in done.stderr


@pytest.mark.parametrize("content", [T5, BART])
def test_a_target_is_as_long_as_the_source_or_as_it_is_said(config, content):
    alike, same, short = (json.loads(config(content, *words).stdout) for words in (
        (), ("--target-seq", "64"), ("--target-seq", "16")))
    assert alike["peak"] == same["peak"]
    assert short["peak_allocated_bytes"] < same["peak_allocated_bytes"]
    assert any("--target-seq changes it" in note for note in alike["notes"])
    assert not any("--target-seq" in note for note in same["notes"] + short["notes"])


@pytest.mark.parametrize("content, words, part", [
    (LLAMA, "--target-seq 8", "counts only of a model that reads a source"),
    (BART, "--target-seq 5000", "fewer than '--target-seq 5000'"),
    ({**BART, "decoder_ffn_dim": 1024}, "", "is 1024: the two stacks have other layers"),
    ({**BART, "encoder_layerdrop": 0.1}, "", "is 0.1: layers are left out at random"),
])
def test_two_stacks_that_are_not_understood(config, content, words, part):
    done = config(content, *words.split())
    assert done.returncode == 2 and part in done.stderr


def test_t5_under_checkpoints_has_no_peak(config):
    assert json.loads(config(T5, "--checkpoint", "full").stdout)["peak"] is None


def test_an_images_patches_are_its_sequence(config, plan):
    answer = json.loads(config({**VIT, "image_size": 384}).stdout)
    assert answer["training"]["seq"] == 24 * 24 + 1
    assert answer["training"]["task"] == "image-classification"
    assert any("convolution" in note for note in answer["notes"])
    named = json.loads(plan("--model", "vit-b-16", "--json").stdout)
    assert named["peak"] == json.loads(config(VIT).stdout)["peak"]


@pytest.mark.parametrize("change, words, part", [
    ({}, "--seq 64", "'--seq' is not for this model"),
    ({}, "--task masked-lm", "is not known of this kind"),
    ({"patch_size": 500}, "", "cut into patches"),
    ({"image_size": [224, 224]}, "", "not a whole number but of type array"),
    (WHISPER, "--target-seq 500", "448 positions, fewer than"),
    (WHISPER, "--seq 64", "'--seq' is not for this model"),
    ({**WHISPER, "max_source_positions": 2**39}, "", "can't have positions"),
])
def test_images_that_are_not_understood(config, change, words, part):
    done = config({**VIT, **change}, *words.split())
    assert done.returncode == 2 and part in done.stderr


def test_a_task_needs_a_model(plan):
    done = plan("--params 7B --task causal-lm")
    assert done.returncode == 2 and "'--task' needs '--model' or '--config'" in done.stderr


def test_the_screen_names_a_head_that_is_not_a_decoders_words(plan):
    assert "masked-lm" in plan("--model bert-base --task masked-lm").stdout
    assert "causal-lm" not in plan("--model gpt2").stdout


@pytest.mark.parametrize("change, part", [
    ({"is_decoder": True}, "is true: an encoder is trained as a decoder"),
    ({"tie_word_embeddings": False}, "words of its own"),
    ({"model_type": "albert", "embedding_size": 128, "inner_group_num": 2}, "several layers"),
    ({"model_type": "deberta-v2", "conv_kernel_size": 3}, "has a convolution"),
    ({"type_vocab_size": -1}, "can't have types"),
])
def test_an_encoder_that_is_not_understood(config, change, part):
    done = config({**BERT, **change})
    assert done.returncode == 2 and part in done.stderr
