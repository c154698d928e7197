"""The networks that both the authors' code and ours have, and the sub-networks that are compared."""

NETWORKS = {
    "mobilenet_v1": {
        "settings": "mobilenet_v1.yml", "widths": "0.25,1.0", "classes": 1000, "side": 224,
        "subnets": [(1.0, 224), (0.85, 192), (0.75, 160), (0.6, 224), (0.5, 128), (0.35, 192), (0.25, 160)],
    },
    "mobilenet_v2": {
        "settings": "mobilenet_v2.yml", "widths": "0.7,1.0", "classes": 1000, "side": 224,
        "subnets": [(1.0, 224), (0.95, 192), (0.9, 160), (0.85, 224), (0.8, 128), (0.75, 192), (0.7, 160)],
    },
    "resnet50": {
        "settings": "resnet50.yml", "widths": "0.9,1.0", "classes": 1000, "side": 224,
        "subnets": [(1.0, 224), (1.0, 128), (0.95, 192), (0.95, 160), (0.9, 224), (0.9, 128)],
    },
    "wide_resnet28_10": {
        "settings": "wideresnet.yml", "widths": "0.9,1.0", "classes": 100, "side": 32,
        "subnets": [(1.0, 32), (1.0, 20), (0.95, 28), (0.95, 24), (0.9, 32), (0.9, 20)],
    },
}
