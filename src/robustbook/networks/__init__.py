"""The architectures of the papers: modules from images in [0, 1] to logits."""

from .build import Name, Start, build, initialise
from .cnn import CNN
from .convnet import convnet
from .convolution import ChannelsLast, PatchConv2d
from .first_weights import draw_first_weights
from .imagenet import Architecture, Normalised, imagenet_network
from .lenet import fc500_150_10, fc500_150_10_bn, lenet
from .mlp import MLP, relu_mlp, sigmoid_mlp
from .nin import nin
from .prepared import GreyLevels, Prepared, draw_normal, mean_image
from .resnext import resnext29
from .vgg import model_a, vgg16
from .whitened import Whitened, preprocessed, whitening

__all__ = [
    "Architecture",
    "CNN",
    "MLP",
    "ChannelsLast",
    "GreyLevels",
    "Name",
    "Normalised",
    "PatchConv2d",
    "Prepared",
    "Start",
    "Whitened",
    "build",
    "convnet",
    "draw_first_weights",
    "draw_normal",
    "fc500_150_10",
    "fc500_150_10_bn",
    "imagenet_network",
    "initialise",
    "lenet",
    "mean_image",
    "model_a",
    "nin",
    "preprocessed",
    "relu_mlp",
    "resnext29",
    "sigmoid_mlp",
    "vgg16",
    "whitening",
]
