import pytest

pytest.register_assert_rewrite(*(f"tests.transport.kit_{name}" for name in ("bytes", "ends", "tools", "waits")))
