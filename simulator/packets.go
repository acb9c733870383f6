package simulator

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// What of MQTT 3.1.1 a client needs that only publishes, with QoS 1. It is written here since a full
// client costs a load more than the server that it tries.

const (
	mostTopicBytes  = 65_535
	mostPacketBytes = 268_435_455 // behind the fixed header (MQTT 3.1.1, 2.2.3)
)

// A refusedError is a CONNACK that says no.
type refusedError struct{ code byte }

func (e *refusedError) Error() string {
	return "connect: refused: " + cmp.Or(packets.ConnackReturnCodes[e.code], fmt.Sprintf("code %d", e.code))
}

// greet sends the CONNECT of a clean session and reads its answer, which is a *refusedError where
// the broker says no.
func greet(tcp net.Conn, from io.Reader, who client) error {
	if err := tcp.SetDeadline(time.Now().Add(connectTimeout)); err != nil {
		return err
	}
	hello := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket) //nolint:forcetypeassert // what it is asked for
	hello.ProtocolName, hello.ProtocolVersion, hello.CleanSession = "MQTT", 4, true
	hello.ClientIdentifier, hello.Keepalive = who.id, uint16(who.keepAlive/time.Second) //nolint:gosec // minutes
	hello.Username, hello.UsernameFlag = who.user, who.user != ""
	hello.Password, hello.PasswordFlag = []byte(who.password), who.password != ""
	if who.willTopic != "" {
		hello.WillFlag, hello.WillQos, hello.WillTopic, hello.WillMessage = true, 1, who.willTopic, who.will
	}
	if err := hello.Write(tcp); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	var answer [4]byte
	if _, err := io.ReadFull(from, answer[:]); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if answer[0] != packets.Connack<<4 || answer[1] != 2 { // MQTT 3.1.1, 3.2
		return fmt.Errorf("connect: the answer %x is no CONNACK", answer)
	}
	if code := answer[3]; code != packets.Accepted {
		return &refusedError{code}
	}
	return tcp.SetDeadline(time.Time{})
}

// appendPublish appends the PUBLISH of a message with QoS 1 (MQTT 3.1.1, 3.3).
func appendPublish(out []byte, id uint16, topic string, payload []byte) ([]byte, error) {
	size := 2 + len(topic) + 2 + len(payload)
	if len(topic) > mostTopicBytes || size > mostPacketBytes {
		return out, fmt.Errorf("publish: a topic of %d bytes and a payload of %d are more than MQTT can carry", len(topic), len(payload))
	}
	out = append(out, packets.Publish<<4|1<<1)
	out = binary.AppendUvarint(out, uint64(size))                //nolint:gosec // checked; MQTT codes lengths alike (2.2.3)
	out = binary.BigEndian.AppendUint16(out, uint16(len(topic))) //nolint:gosec // checked
	out = append(out, topic...)
	out = binary.BigEndian.AppendUint16(out, id)
	return append(out, payload...), nil
}

var errAnswer = errors.New("the broker sends neither a PUBACK nor a PINGRESP")

// readAnswer reads what a broker may say to one who only publishes: a PUBACK with its packet
// identifier (MQTT 3.1.1, 3.4), or a PINGRESP (3.13).
func readAnswer(from *bufio.Reader) (kind byte, id uint16, err error) {
	head, err := from.Peek(2)
	if err != nil {
		return 0, 0, err
	}
	switch {
	case head[0] == packets.Pingresp<<4 && head[1] == 0:
		_, err = from.Discard(2)
		return packets.Pingresp, 0, err
	case head[0] == packets.Puback<<4 && head[1] == 2:
		if head, err = from.Peek(4); err != nil {
			return 0, 0, err
		}
		id = binary.BigEndian.Uint16(head[2:])
		_, err = from.Discard(4)
		return packets.Puback, id, err
	}
	return 0, 0, errAnswer
}
