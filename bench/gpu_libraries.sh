# The GPU scripts source this file, so that programs find the libraries of python3's PyTorch.
python3 -c 'import torch; print("PyTorch", torch.__version__, "on", torch.cuda.get_device_name(0))'
LD_LIBRARY_PATH=$(python3 - <<'END'
import glob, os, torch
root = os.path.dirname(torch.__file__)
nvidia = glob.glob(os.path.join(os.path.dirname(root), "nvidia", "*", "lib"))
print(":".join([os.path.join(root, "lib")] + nvidia))
END
)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
