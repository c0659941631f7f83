"""The architectures of the papers: modules from images in [0, 1] to logits."""

from .build import Name, Start, build, initialise
from .cnn import CNN
from .convnet import convnet
from .convolution import ChannelsLast, PatchConv2d
from .lenet import fc500_150_10, lenet
from .mlp import MLP, relu_mlp, sigmoid_mlp
from .nin import nin
from .prepared import GreyLevels, Prepared, draw_normal, mean_image

__all__ = [
    "CNN",
    "MLP",
    "ChannelsLast",
    "GreyLevels",
    "Name",
    "PatchConv2d",
    "Prepared",
    "Start",
    "build",
    "convnet",
    "draw_normal",
    "fc500_150_10",
    "initialise",
    "lenet",
    "mean_image",
    "nin",
    "relu_mlp",
    "sigmoid_mlp",
]
