"""Image models of stages, and CLIP: their weights, the peak of their training, what is refused."""
import json

import pytest
from test_measure import measured  # noqa: F401
from test_measure import call  # noqa: F401

RESNET = {"model_type": "resnet", "architectures": ["ResNetForImageClassification"],
          "num_labels": 1000, "depths": [3, 4, 6, 3], "hidden_sizes": [256, 512, 1024, 2048],
          "embedding_size": 64, "layer_type": "bottleneck"}
CONVNEXT = {"model_type": "convnext", "architectures": ["ConvNextForImageClassification"],
            "num_labels": 1000, "depths": [3, 3, 9, 3], "hidden_sizes": [96, 192, 384, 768]}
SWIN = {"model_type": "swin", "architectures": ["SwinForImageClassification"],
        "num_labels": 1000, "embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24],
        "window_size": 7}
CLIP = {"model_type": "clip", "architectures": ["CLIPModel"], "projection_dim": 512,
        "text_config": {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12,
                        "num_attention_heads": 8, "vocab_size": 49408},
        "vision_config": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                          "num_attention_heads": 12, "patch_size": 32}}
TOWER = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 96}
BASIC = {**RESNET, "layer_type": "basic", "hidden_sizes": [64, 128, 256, 512]}

# Published: torchvision's models of the same names have as many parameters.
COUNTED = {
    "resnet-18": (11_689_512, {**BASIC, "depths": [2, 2, 2, 2]}),
    "resnet-34": (21_797_672, BASIC),
    "resnet-50": (25_557_032, RESNET),
    "resnet-101": (44_549_160, {**RESNET, "depths": [3, 4, 23, 3]}),
    "convnext-tiny": (28_589_128, CONVNEXT),
    "convnext-small": (50_223_688, {**CONVNEXT, "depths": [3, 3, 27, 3]}),
    "convnext-tiny, silent": (28_589_128, {"model_type": "convnext", "num_labels": 1000}),
    "swin-tiny": (28_288_354, SWIN),
    "swin-small": (49_606_258, {**SWIN, "depths": [2, 2, 18, 2]}),
    "swin-tiny, silent": (28_288_354, {"model_type": "swin", "num_labels": 1000}),
    "resnet-50, silent": (25_557_032, {"model_type": "resnet", "num_labels": 1000}),
}
SMALL = {
    "resnet": {**RESNET, "depths": [1, 2], "hidden_sizes": [64, 128], "embedding_size": 32},
    "convnext": {**CONVNEXT, "depths": [1, 2], "hidden_sizes": [48, 96], "num_stages": 2,
                 "drop_path_rate": 0.1},
    "swin": {**SWIN, "embed_dim": 32, "depths": [2, 1], "num_heads": [2, 4],
             "image_size": 100, "hidden_dropout_prob": 0.1},
    "clip": {"model_type": "clip", "architectures": ["CLIPModel"], "projection_dim": 32,
             "text_config": {**TOWER, "vocab_size": 500, "eos_token_id": 2},
             "vision_config": {**TOWER, "attention_dropout": 0.1}},
}


#: Published: openai/clip-vit-base-patch32 and -base-patch16.
TOWERS = {
    "clip-vit-b-32": (151_277_313, CLIP),
    "clip-vit-b-32, silent": (151_277_313, {"model_type": "clip"}),
    "clip-vit-b-16": (149_620_737, {
        **CLIP, "vision_config": {**CLIP["vision_config"], "patch_size": 16}}),
}


@pytest.fixture
def config(plan, tmp_path):
    def call(content, *words):
        path = tmp_path / "config.json"
        path.write_text(json.dumps(content))
        return plan("--config", path, *words, "--json")
    return call


@pytest.mark.parametrize("name", COUNTED)
def test_a_config_has_as_many_parameters_as_its_model(config, name):
    parameters, content = COUNTED[name]
    answer = json.loads(config(content).stdout)
    assert answer["parameters"] == parameters
    assert answer["peak"], "its training step is not known"
    assert answer["training"]["seq"] is None
    assert answer["training"]["task"] == "image-classification"
    assert any("cuDNN" in note for note in answer["notes"])


def test_scores_of_swins_windows_are_kept_where_no_kernel_attends(config):
    kernel, written = (json.loads(config(SWIN, "--batch", "8", "--attention", how).stdout)
                       for how in ("flash", "math"))
    assert written["peak_allocated_bytes"] > 1.01 * kernel["peak_allocated_bytes"]
    assert written["activation_bytes"] > kernel["activation_bytes"]


def test_windows_larger_than_the_last_picture_have_no_peak(config):
    """transformers cannot run it: its table of positions is made for whole windows."""
    answer = json.loads(config({**SWIN, "image_size": 64}).stdout)
    assert answer["peak"] is None and answer["parameters"] == COUNTED["swin-tiny"][0]


@pytest.mark.parametrize("name", TOWERS)
def test_both_towers_are_counted(config, name):
    parameters, content = TOWERS[name]
    answer = json.loads(config(content).stdout)
    assert answer["parameters"] == parameters
    assert answer["peak"], "its training step is not known"
    assert answer["training"]["seq"] == 77 and answer["training"]["task"] is None
    assert any("cuDNN" in note for note in answer["notes"])


def test_each_tower_has_activations_of_its_own(config):
    def left(content, *words):
        done = config(content, "--batch", "8", *words)
        return json.loads(done.stdout)["peak"]["left_by_forward_bytes"]
    whole = left(CLIP)
    assert left(CLIP, "--seq", "16") < whole
    assert left({**CLIP, "vision_config": {**CLIP["vision_config"], "image_size": 384}}) > whole


def test_a_larger_picture_takes_more_and_no_more_weights(config):
    small, large = (json.loads(config({**RESNET, "image_size": side}, "--batch", "8").stdout)
                    for side in (224, [448, 224]))
    assert small["parameters"] == large["parameters"]
    assert large["activation_bytes"] == pytest.approx(2 * small["activation_bytes"], rel=0.01)
    assert large["peak_allocated_bytes"] > 1.5 * small["peak_allocated_bytes"]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-mixed"])
def test_the_peak_of_a_training_is_predicted(measured, name, precision):  # noqa: F811
    a = measured("--config", SMALL[name], "--batch", 4, "--precision", precision)
    run = a["measured"]
    assert a["peak_allocated_bytes"] == pytest.approx(run["peak_allocated_bytes"], rel=0.01)
    assert a["peak_phase"] == run["peak_phase"]
    assert a["parameters"] == run["parameters"]


@pytest.mark.parametrize("change, words, part", [
    ({}, "--seq 64", "'--seq' is not for this model"),
    ({}, "--task causal-lm", "is not known of this kind"),
    ({}, "--checkpoint full", "no checkpoints of ResNet"),
    ({}, "--lora-rank 8", "is not understood"),
    ({"hidden_act": "gelu"}, "", "is gelu: the function is not relu"),
    ({"layer_type": "other"}, "", "is other: the layers are of another kind"),
    ({"depths": []}, "", "no 'depths' of 1 to 8 stages"),
    ({"depths": [1] * 9}, "", "no 'depths' of 1 to 8 stages"),
    ({"depths": [1, 1.5]}, "", "of type real"),
    ({"depths": 4}, "", "is not a list but of type integer"),
    ({"hidden_sizes": "64"}, "", "is not a list but of type text"),
    ({"depths": [3, 4, 6, -1]}, "", "can't be -1"),
    ({"depths": [3, 4, 6, 10**9]}, "", "can't be 1000000000"),
    ({"hidden_sizes": [256, 512]}, "", "has no 'hidden_sizes[2]'"),
    ({"hidden_sizes": [256, 512, 1024, 2**39]}, "", "can't be 549755813888"),
    ({"hidden_sizes": [2, 2, 2, 2]}, "", "too narrow"),
    ({"image_size": 2**30}, "", "'image_size'"),
    ({"image_size": [224]}, "", "has no 'image_size[1]'"),
    ({"num_channels": 10**6}, "", "cut into patches"),
    (SWIN, "--lora-rank 8", "is not understood"),
    (CLIP, "--lora-rank 8", "is not understood"),
    (CLIP, "--seq 78", "77 positions, fewer than"),
    (CLIP, "--task causal-lm", "is not known of this kind"),
    ({**CLIP, "vision_config": {"patch_size": 500}}, "", "cut into patches"),
    ({**CLIP, "vision_config": {"hidden_size": 100}}, "", "don't divide the hidden size"),
    ({**CLIP, "text_config": {"hidden_act": "relu"}}, "",
     "is relu: the function is not gelu or quick_gelu"),
    ({**CLIP, "text_config": {"num_attention_heads": 0}}, "", "can't be 0"),
    ({**CLIP, "vision_config": {"num_attention_heads": 0}}, "", "can't be 0"),
    ({**CLIP, "text_config": {"hidden_size": "wide"}}, "", "of type text"),
    ({**CLIP, "text_config": {"vocab_size": 2**39}}, "", "can't have vocab"),
    ({**CLIP, "text_config_dict": {}}, "", "a second time"),
    (SWIN, "--checkpoint full", "Swin's are not understood"),
    ({**SWIN, "num_heads": [5, 6, 12, 24]}, "", "96 channels in a stage with 5 heads"),
    ({**SWIN, "num_heads": [3, 6]}, "", "has no 'num_heads[2]'"),
    ({**SWIN, "embed_dim": 2**39}, "", "channels in a stage"),
    ({**SWIN, "window_size": 10**6}, "", "too wide"),
    ({**SWIN, "mlp_ratio": -1}, "", "too wide"),
    ({**SWIN, "mlp_ratio": "4"}, "", "is not a number"),
    ({**CONVNEXT, "num_stages": 3}, "", "than 'num_stages'"),
    ({**CONVNEXT, "hidden_act": "relu"}, "", "is relu: the function is not gelu"),
    ({**CONVNEXT, "image_size": 16}, "", "cut into patches"),
    ({**CONVNEXT, "drop_path_rate": 2}, "", "not between 0 and 1"),
])
def test_what_is_not_understood_is_one_sentence(config, change, words, part):
    done = config({**RESNET, **change}, *words.split())
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.count("\n") == 1
    assert part in done.stderr
