"""Images: sources (torchvision, digits, parquet, folders), one prepared layout, augmentation on the device, noise."""
