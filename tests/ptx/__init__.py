"""The CUDA kernels as nvcc compiled them, run on the host.

nvcc writes PTX, the virtual machine code from which ptxas makes a GPU's. `translate` turns each kernel's PTX into a C++
function of one thread, `runtime.cpp` stands in for the CUDA runtime and runs the threads of a cluster as fibers, in an
order that changes at every barrier, and `build` puts both into a copy of flowkit's extension. So what runs is the host
code that launches, with its launch attributes and parameters, and the compiled device code.

What it shows: that threads do not depend on their order between barriers, that no two of them meet at a word of shared
memory there, that every barrier is reached, that accesses are aligned and inside their memory, that clusters find each
other's shared memory, and that the result is the CPU's.
`wavefronts` counts what the accesses to shared memory cost, from the banks that the lanes of a warp meet in.
What it does not: ptxas, timing, streams, memory ordering weaker than a barrier, the bits of the approximations.
"""
