"""pictures.py - configurations of image models of stages and of CLIP, for accuracy.py to draw."""

CLASSES = {"resnet": "ResNetForImageClassification",
           "convnext": "ConvNextForImageClassification",
           "swin": "SwinForImageClassification", "clip": "CLIPModel"}


def resnet(draw):
    stages = draw.randint(2, 4)
    return {"depths": [draw.randint(1, 6) for _ in range(stages)],
            "hidden_sizes": [draw.choice([64, 256]) * 2**i for i in range(stages)],
            "embedding_size": draw.choice([32, 64]),
            "layer_type": draw.choice(["basic", "bottleneck"]),
            "downsample_in_bottleneck": draw.choice([False, True]),
            "downsample_in_first_stage": draw.choice([False, False, True])}


def convnext(draw):
    stages = draw.randint(2, 4)
    return {"depths": [draw.randint(1, 6) for _ in range(stages)], "num_stages": stages,
            "hidden_sizes": [draw.choice([48, 64, 96, 128]) * 2**i for i in range(stages)],
            "image_size": draw.choice([224, 224, 256]), "patch_size": 4,
            "drop_path_rate": draw.choice([0.0, 0.1]),
            "layer_scale_init_value": draw.choice([1e-6, 1e-6, 0.0])}


def swin(draw):
    """The last stage's picture is at least as large as a window: 28 places a side, 14, 7."""
    stages, window = draw.randint(1, 4), draw.choice([4, 7, 7, 5])
    heads, dropout = draw.choice([2, 3, 4]), draw.choice([0.0, 0.0, 0.1])
    return {"depths": [draw.randint(1, 4) for _ in range(stages)],
            "num_heads": [heads * 2**i for i in range(stages)],
            "embed_dim": draw.choice([32, 32, 24]) * heads, "window_size": window,
            "image_size": draw.choice([224, 224, 256, 232]), "patch_size": 4,
            "drop_path_rate": draw.choice([0.0, 0.1]), "hidden_dropout_prob": dropout,
            "attention_probs_dropout_prob": dropout, "qkv_bias": draw.choice([True, True, False]),
            "use_absolute_embeddings": draw.choice([False, False, True])}


DRAWN = {"resnet": resnet, "convnext": convnext, "swin": swin}


def tower(draw):
    heads = draw.choice([2, 4, 8, 12])
    return {"hidden_size": 64 * heads, "intermediate_size": draw.choice([128, 256]) * heads,
            "num_hidden_layers": draw.randint(2, 12), "num_attention_heads": heads,
            "hidden_act": draw.choice(["quick_gelu", "quick_gelu", "gelu"]),
            "attention_dropout": draw.choice([0.0, 0.0, 0.1])}


def clip(draw, kind, training):
    """Texts of --seq words, and pictures."""
    config = {"model_type": kind, "architectures": [CLASSES[kind]],
              "projection_dim": draw.choice([256, 512]),
              "text_config": tower(draw) | {"vocab_size": draw.choice([8192, 49408]),
                                            "max_position_embeddings": 77, "eos_token_id": 2},
              "vision_config": tower(draw) | {"patch_size": draw.choice([14, 16, 32]),
                                              "image_size": draw.choice([224, 336])}}
    words = training(draw, lengths=(16, 64, 77))
    words[words.index("--batch") + 1] = str(draw.choice([2, 8, 32]))
    return config, words


def size(config):
    """Its layers, and how wide they are at the end."""
    if config["model_type"] == "clip":
        towers = config["text_config"], config["vision_config"]
        return (" + ".join(str(one["num_hidden_layers"]) for one in towers),
                " + ".join(str(one["hidden_size"]) for one in towers))
    return sum(config["depths"]), widest(config)


def widest(config):
    """Channels of the last stage."""
    if "embed_dim" in config:
        return config["embed_dim"] << len(config["depths"]) - 1
    return config["hidden_sizes"][-1]


def drawn(draw, kind, training):
    """(config.json, words for plan) of one training; training gives the words."""
    if kind == "clip":
        return clip(draw, kind, training)
    config = {"model_type": kind, "architectures": [CLASSES[kind]],
              "num_labels": draw.choice([10, 1000]), **DRAWN[kind](draw)}
    words = training(draw, checkpoints=("none",))
    words[words.index("--batch") + 1] = str(draw.choice([2, 8, 16, 32]))
    return config, words[:words.index("--seq")]
