// Package gateway is the door: piles connect to it over MQTT, or it subscribes to an operator's
// own broker. Either way a message ends in one accept path, which checks who speaks and what is
// said, and puts it into the log. A sender's message is acknowledged when it is on disk and not
// before. The gateway judges nothing and keeps nothing.
package gateway
