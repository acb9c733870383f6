package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// CertificateUntil tells when the certificate that piles are shown ends. It fails where the pair of files
// cannot be used.
func (c *Config) CertificateUntil() (time.Time, error) {
	pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the certificate of --tls-cert %s with --tls-key %s: %w", c.TLSCert, c.TLSKey, err)
	}
	return pair.Leaf.NotAfter, nil
}

// TryBridge connects to the broker of one value of --bridge, as a client of its own, so that a running
// bridge's session stays as it is. It subscribes to nothing.
func TryBridge(ctx context.Context, setting string) (said string, err error) {
	b, err := parseBridge(setting)
	if err != nil {
		return "", err
	}
	client, err := b.visit(ctx, nil)
	if err != nil {
		return "", err
	}
	client.Disconnect(0)
	return fmt.Sprintf("%s of operator %s lets us in", b.broker, b.operator), nil
}

// Overhear gives what is published at the broker of one value of --bridge below its operator's topics, until
// ctx ends, and then returns nil. It takes nothing from a running bridge. heard is called by one at a time.
func Overhear(ctx context.Context, setting string, heard func(topic string, payload []byte)) error {
	b, err := parseBridge(setting)
	if err != nil {
		return err
	}
	lost := make(chan error, 1)
	client, err := b.visit(ctx, func(_ paho.Client, err error) { lost <- err })
	if err != nil {
		return err
	}
	defer client.Disconnect(0)
	filters := make(map[string]byte)
	for _, filter := range b.topics.filters(b.operator) { // not as one of a share, which would take from it
		filters[filter] = 1
	}
	token := client.SubscribeMultiple(filters, func(_ paho.Client, m paho.Message) { heard(b.topics.ours(b.operator, m.Topic()), m.Payload()) })
	select {
	case <-token.Done():
		if err := token.Error(); err != nil {
			return fmt.Errorf("subscribe at %s: %w", b.broker, err)
		}
	case <-ctx.Done():
		return nil
	}
	select {
	case err := <-lost:
		return fmt.Errorf("listen at %s: %w", b.broker, err)
	case <-ctx.Done():
		return nil
	}
}

// visit connects once, with a session that ends with the connection.
func (b *bridgeConfig) visit(ctx context.Context, lost paho.ConnectionLostHandler) (paho.Client, error) {
	o := paho.NewClientOptions().AddBroker(b.broker).SetClientID(fmt.Sprintf("pilewatch-visit-%d", os.Getpid())).
		SetUsername(b.user).SetPassword(b.password).SetAutoReconnect(false).SetConnectionLostHandler(lost)
	if b.tls != nil {
		o.SetTLSConfig(b.tls)
	}
	client := paho.NewClient(o)
	token := client.Connect()
	var err error
	select {
	case <-token.Done():
		err = token.Error()
	case <-ctx.Done():
		err = errors.New("no answer")
	}
	if err != nil {
		client.Disconnect(0)
		return nil, fmt.Errorf("connect to %s of operator %s: %w; is the address right, and the user and its password?", b.broker, b.operator, err)
	}
	return client, nil
}
