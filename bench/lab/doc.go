// Package lab makes several hosts out of one machine, so that a cluster can be tested with the faults of a network.
//
//	this process (clients, the checker)          10.77.N.1
//	     │
//	─────┴──────── bridge rq-N-br ──────┬──────────────┐
//	                                    │ veth         │ veth, or a Delay's cable: two taps and a copier
//	network namespace      rq-N-minio   │   rq-N-b4    │   each with an address of its own, 10.77.N.10 and up
//
// A Host is a network namespace; processes run in it (Host.Wrap), sockets of this process too (Host.Dial, Host.Listen). Faults: Cut in both
// directions or in one, from everybody or from some (nftables in the namespace), Heal, Delay of every frame (user space: the kernel's netem
// is not everywhere), Down and Up (the host loses power: nobody is told, processes are gone, the file system stays). Kill, stop and pause of
// a process are signals and need no lab.
//
// Open claims a number N by a lock on a file, so that labs of several test processes live side by side; whatever an earlier process left behind
// under a free number is removed first. Open needs CAP_NET_ADMIN and CAP_SYS_ADMIN; without them it returns ErrNotPermitted. Loopback
// makes hosts that are only addresses, 127.77.N.10 and up: no rights needed, no faults of the network.
//
// A Network and its hosts belong to one goroutine; Dial and Listen may be called from any.
package lab
