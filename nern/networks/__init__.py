"""Original networks: CIFAR ResNets, torchvision networks and user modules, their learnable weights and feature maps."""
