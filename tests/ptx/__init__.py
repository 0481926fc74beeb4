"""The CUDA kernels as nvcc compiled them, run on the host.

nvcc writes PTX, the virtual machine code from which ptxas makes a GPU's. `translate` turns each kernel's PTX into a C++
function of one thread. `calls.cpp` stands in for the CUDA runtime and driver, with several devices of different
architectures; `launch.cpp` runs the threads of a cluster as fibers, in an order that changes at every barrier, and the
clusters in any order; `memory.cpp` is the devices' memory. `build` puts all into a copy of flowkit's extension, which
`standin` loads. So what runs is the host code that launches, with its launch attributes and parameters, and the
compiled device code.

What it shows: that threads do not depend on their order between barriers, nor blocks on theirs, that no two threads
meet at a word of shared memory between barriers, and no two blocks at a word of global memory, that every barrier is
reached, that accesses are aligned and inside their memory, that clusters find each other's shared memory, and that the
result is the CPU's; for the host, what it asks how often, which contexts it makes, and what it does without memory.
`wavefronts` counts what the accesses to shared memory cost, from the banks that the lanes of a warp meet in.
What it does not: ptxas, timing, streams, memory ordering weaker than a barrier, the bits of the approximations.

Set in the environment: FLOWKIT_PTX_ULPS, by how many ulps approximations are off; FLOWKIT_PTX_MEMORY, a device's bytes;
FLOWKIT_PTX_LARGEST, bytes of the largest allocation that succeeds; FLOWKIT_PTX_LOAD_MS, how long kernels take to load.
"""
