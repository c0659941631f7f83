"""Define the architectures of the papers, as modules that map images in [0, 1] to logits."""

from .build import Name, Start, build, initialise
from .cnn import CNN
from .convnet import convnet
from .convolution import ChannelsLast, PatchConv2d
from .first_weights import draw_first_weights
from .imagenet import Architecture, Normalised, imagenet_network
from .lenet import fc500_150_10, fc500_150_10_bn, lenet
from .madry_resnet import madry_resnet
from .maxout import Maxout, maxout, maxout_large, softmax_regression
from .mlp import MLP, relu_mlp, sigmoid_mlp
from .mnist_convnets import madry_mnist, mosbach_mnist, wong_mnist
from .nin import nin
from .prepared import GreyLevels, Prepared, draw_normal, mean_image
from .resnet import preact18, preact20, resnet18, resnet110
from .resnext import resnext29
from .tramer import tramer_b
from .vgg import model_a, vgg16
from .whitened import Whitened, preprocessed, whitening

__all__ = [
    "Architecture",
    "CNN",
    "MLP",
    "Maxout",
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
    "madry_mnist",
    "madry_resnet",
    "maxout",
    "maxout_large",
    "mean_image",
    "model_a",
    "mosbach_mnist",
    "nin",
    "preact18",
    "preact20",
    "preprocessed",
    "relu_mlp",
    "resnet110",
    "resnet18",
    "resnext29",
    "sigmoid_mlp",
    "softmax_regression",
    "tramer_b",
    "vgg16",
    "whitening",
    "wong_mnist",
]
