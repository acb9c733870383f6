// Package simulator is a province of piles that are not there: it generates their registry out of
// the real divisions, decides second by second what each of them does, and speaks for them as real
// MQTT clients through the gateway's own door. It never writes to the log, the registry or the
// series: what the platform knows of these piles it has from their messages alone.
package simulator
