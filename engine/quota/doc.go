// Package quota decides how much a client may do: bytes that it produces and fetches, the time that its requests take, the partitions that it
// creates and deletes.
//
//	metadata image ──► Manager.Set ──► Table (immutable, swapped; nil when nobody has set a quota)
//	                                     │ Client(user, client id): the limit that counts, of eight places where one may be set
//	request ──► Client.Record(kind, value) ──► meter, shared by all to whom the limit applies together ──► how long to wait
//
// Who shares a meter follows from where the limit was found, as in Kafka: a limit of a user is for all its clients together, one of a client id for
// all users with it together, one of both for each pair alone. A meter keeps its history when limits change.
//
// Without quotas a request costs one atomic load (Manager.Table). A Client belongs to one connection, which keeps it until the table changes.
// Manager, Table and meters may be used from any goroutine; lock order: Manager.mu before meter.mu. There are at most Options.MaxMeters
// meters that know of each other: clients may have as many names as they like. Beyond that, a connection is measured alone.
package quota
