"""Linux/x86 by its own boot protocol, versions before 2.00 to 2.15.

Source: Documentation/arch/x86/boot.rst in Linux.
"""

from devicemodel.images.linux.kernel import LinuxKernel, check_supported
from devicemodel.images.linux.plan import LinuxTarget, plan_linux

__all__ = ["LinuxKernel", "LinuxTarget", "check_supported", "plan_linux"]
