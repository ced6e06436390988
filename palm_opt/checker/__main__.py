"""`python -I palm_opt/checker CERTIFICATE SUBJECT`: the checker alone, also from a copy of this folder."""

import sys
from pathlib import Path

if __package__:
    from palm_opt.checker.certificate import main
else:  # the folder itself was run
    sys.path.insert(0, str(Path(__file__).parent))
    from certificate import main  # type: ignore[import-not-found,no-redef]

sys.exit(main())
