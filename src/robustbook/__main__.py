"""``python -m robustbook`` is the same as the command ``robustbook``."""

from robustbook.cli import main

if __name__ == "__main__":
    main()
