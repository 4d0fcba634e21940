// Package kraft is the metadata quorum of a cluster: who leads which partition, which stream is owned by whom at which epoch, and
// which objects hold what.
//
//	broker ──Controller.Do──► active controller ──validate──► records ──► raft log (fdatasync, majority) ──► apply ──► Image
//	                              ▲ RPC over the CONTROLLER listener                                          │
//	                              └── from other nodes                         every node follows the log ◄───┘
//
// A node is a voter (role controller), an observer (role broker alone) or both a voter and a broker. Voters run raft over the
// CONTROLLER listener; observers follow the committed log by a long poll. Every node has the same Image at the same offset.
//
// A request is durable when Do returns nil: its records are in the logs of a majority. Do also waits until the image of the calling
// node shows the change. ErrTimeout means that the outcome is unknown.
//
// The first failed write or fdatasync of the raft log stops the node: Done is closed, Err says why, and nothing is retried.
package kraft
