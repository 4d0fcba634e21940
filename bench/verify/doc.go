// Package verify produces records whose loss, duplication, reordering or damage it can prove, and reads them back.
//
// Each record carries its partition, its sequence number on that partition and a checksum. A Ledger remembers what was
// acknowledged and at which offset; Check reads every partition from start to end and compares: each acknowledged record is at its
// offset, once; nothing is damaged; sequence numbers ascend; and what else is found was at least sent.
package verify
