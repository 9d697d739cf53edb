"""The codec beside its peers: lossless size, rate-distortion, speed, bytes of a viewport. See README.md.

PYTHONPATH=tests python -m bench.codec [--images FOLDER] [--quick]
"""
