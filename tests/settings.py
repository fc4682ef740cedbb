"""The dashboard's settings as the suite runs them: the same for everyone, kept out of ./data.

Variables of the developer's own shell are dropped before the real settings are read; only the
database can be chosen from outside, because the suite is run on both kinds.
"""

import atexit
import os
import shutil
import tempfile

_data_dir = tempfile.mkdtemp(prefix="fleetui-tests-")
atexit.register(shutil.rmtree, _data_dir, ignore_errors=True)

for _name in [name for name in os.environ if name.startswith("FLEET_")]:
    del os.environ[_name]
os.environ.update(
    DATA_DIR=_data_dir,
    # What hosts are told would else depend on when another test last counted them.
    FLEET_HEARTBEATS_PER_SECOND="0",
    FLEET_SECRET_KEY="the-suite-signs-with-this-key-and-nobody-else-does",
)

from fleetui.settings import *  # noqa: E402, F403

# Hashed names need a collectstatic; what production serves is tested by real processes.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
# Found when asked for: else each test client first reads every static file there is, which was
# half the time of a page's test.
WHITENOISE_AUTOREFRESH = True
# collectstatic would make it; WhiteNoise warns of its absence, and warnings are errors.
os.makedirs(os.path.join(_data_dir, "static"), exist_ok=True)
# The slow hash that production wants would be most of the suite's time.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
