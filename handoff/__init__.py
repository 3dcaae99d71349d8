"""The contract both sides sign: addresses, memory map, descriptor, carriers, stages."""
