package lab

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// cableFrames is how many frames are on a cable in one direction; more are lost, as in a switch.
const cableFrames = 4096

// maxFrame bounds a frame: the links have Ethernet's 1500 bytes, and taps get no larger ones.
const maxFrame = 2048

// cable connects a tap in the host's namespace with a tap on the bridge, and takes its time.
type cable struct {
	inside, outside *os.File
	delay           atomic.Int64 // nanoseconds, each way
	copiers         sync.WaitGroup
	stop            chan struct{}
}

// Delay has every frame from and to the host take d longer, each way. 0 takes the delay away. Connections live through both. The frames are
// copied by this process from the first call on until Down or Close: a host with a delay is for faults, not for throughput.
func (h *Host) Delay(d time.Duration) error {
	switch {
	case h.net.loopback:
		return ErrNoFaults
	case h.cable != nil:
		h.cable.delay.Store(int64(d))
		return nil
	case d == 0:
		return nil
	}
	c, err := h.plug(d)
	if err != nil {
		return err
	}
	h.cable = c
	// The address moves from the link to the tap, and so does the link's hardware address: neighbours go on with what they know.
	tap := h.veth() + "t"
	for _, args := range [][]string{
		{"link", "set", tap, "master", h.net.link("br"), "up"},
		{"-n", h.space(), "link", "set", "eth0", "down"},
		{"-n", h.space(), "addr", "flush", "dev", "eth0"},
		{"link", "set", h.veth(), "down"},
		{"-n", h.space(), "link", "set", "eth1", "address", h.hardwareAddr()},
		{"-n", h.space(), "addr", "add", h.Addr() + "/24", "dev", "eth1"},
		{"-n", h.space(), "link", "set", "eth1", "up"},
	} {
		if err := run("ip", args...); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) plug(d time.Duration) (*cable, error) {
	c := &cable{stop: make(chan struct{})}
	c.delay.Store(int64(d))
	if err := h.enter(func() (err error) { c.inside, err = openTap("eth1"); return err }); err != nil {
		return nil, err
	}
	var err error
	if c.outside, err = openTap(h.veth() + "t"); err != nil {
		return nil, errors.Join(err, c.inside.Close())
	}
	for _, dir := range [][2]*os.File{{c.inside, c.outside}, {c.outside, c.inside}} {
		frames := make(chan frame, cableFrames)
		c.copiers.Go(func() { c.read(dir[0], frames) })
		c.copiers.Go(func() { c.write(dir[1], frames) })
	}
	return c, nil
}

// frame is one on its way.
type frame struct {
	due   time.Time
	bytes []byte
}

func (c *cable) read(from *os.File, frames chan<- frame) {
	defer close(frames)
	for {
		b := make([]byte, maxFrame)
		n, err := from.Read(b)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			// A tap that is down: nothing comes until it is up again.
			select {
			case <-c.stop:
				return
			case <-time.After(time.Millisecond):
			}
			continue
		}
		select {
		case frames <- frame{time.Now().Add(time.Duration(c.delay.Load())), b[:n]}:
		default:
		}
	}
}

func (c *cable) write(to *os.File, frames <-chan frame) {
	for f := range frames {
		if wait := time.Until(f.due); wait > 0 {
			select {
			case <-time.After(wait):
			case <-c.stop:
			}
		}
		_, _ = to.Write(f.bytes) // a tap that is down loses frames, like a cable that is not plugged in
	}
}

func (c *cable) close() error {
	close(c.stop)
	err := errors.Join(c.inside.Close(), c.outside.Close())
	c.copiers.Wait()
	return err
}

// openTap makes a tap device in the namespace of the calling thread; it goes when the file is closed.
func openTap(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("lab: %w: /dev/net/tun: %w", ErrNotPermitted, err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lab: tap %s: %w", name, err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}
