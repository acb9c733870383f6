// Package ingest makes of the log what the platform is for. Two consumers read it independently:
// history writes readings where the past is kept, health keeps the state of every connector and
// the coverage of every township, and publishes what changes. Either may stop, fall behind or be
// replayed without the other noticing.
package ingest
