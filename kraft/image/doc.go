// Package image holds the state machine of the metadata quorum: an immutable Image and the rules by which records change it.
//
//	Image ──► Builder ──Apply(record)…──► Image'      old readers keep the old image; both share unchanged tree nodes
//
// Applying depends on nothing but the image and the record: no clock, no randomness, no map order. Equal logs give equal images.
package image
