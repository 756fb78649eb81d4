// Go's side of the workloads, one process each.
//
//	gopeer WORKLOAD CASE SIZE   measures, and prints the values as one JSON object
//	gopeer echo [once]          the echo server: prints its port, and serves until it is killed
//	gopeer http                 the web server, likewise
//
// One processor for Go code, as all others have; the servers do what servers.py and web_servers.py do.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	batch = 10000            // how many are alive at once in spawn
	first = 100              // parked before the first reading of memory
	long  = 1000 * time.Hour // longer than any run lasts
	chunk = 65536            // what an echo server receives at most in one call
)

type values map[string]float64

// A workload's case, by "WORKLOAD CASE"; a growing one is the same for any case.
var workloads = map[string]func(size int) values{
	"spawn joinall":   spawn,
	"yield 1":         func(size int) values { return yield(size, 1) },
	"yield 100":       func(size int) values { return yield(size, 100) },
	"yield 10000":     func(size int) values { return yield(size, 10000) },
	"memory sleep":    memory,
	"timers start":    timers,
	"timers sleepers": sleepers,
	"queue handover":  handover,
	"locks event":     pingPong,
	"locks contended": pingPong,
	"locks free":      free,
	"locks unbounded": unbounded,
	"growth spawn":    growingSpawn,
	"growth yield":    func(size int) values { return yield(max(size, 100000), size) },
	"growth park":     func(size int) values { return values{"ns": memory(size)["ns"]} },
	"growth timers":   func(size int) values { return values{"ns": timers(size)["start_ns"]} },
	"growth sleepers": sleepers,
}

func max(a, b int) int {
	if a > b {
		return a
	}
	return b
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "gopeer:", err)
		os.Exit(1)
	}
}

func each(started time.Time, units int) float64 {
	return float64(time.Since(started).Nanoseconds()) / float64(units)
}

func gather(count int) {
	var group sync.WaitGroup
	group.Add(count)
	for i := 0; i < count; i++ {
		go group.Done()
	}
	group.Wait()
}

func spawn(size int) values {
	started := time.Now()
	for begun := 0; begun < size; begun += batch {
		count := size - begun
		if count > batch {
			count = batch
		}
		gather(count)
	}
	return values{"ns": each(started, size)}
}

func growingSpawn(size int) values {
	started := time.Now()
	gather(size)
	return values{"ns": each(started, size)}
}

func yield(size, crowd int) values {
	share := max(1, size/crowd)
	var group sync.WaitGroup
	group.Add(crowd)
	begun, ended := make([]time.Time, crowd), make([]time.Time, crowd)
	for i := 0; i < crowd; i++ {
		go func(i int) {
			runtime.Gosched()
			begun[i] = time.Now()
			for j := 0; j < share; j++ {
				runtime.Gosched()
			}
			ended[i] = time.Now()
			group.Done()
		}(i)
	}
	group.Wait()
	start, end := begun[0], ended[0]
	for i := range begun {
		if begun[i].Before(start) {
			start = begun[i]
		}
		if ended[i].After(end) {
			end = ended[i]
		}
	}
	return values{"ns": float64(end.Sub(start).Nanoseconds()) / float64(share*crowd)}
}

func resident() float64 {
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	fail(err)
	for _, line := range strings.Split(string(text), "\n") {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "Rss:" {
			kib, err := strconv.Atoi(fields[1])
			fail(err)
			return float64(kib) * 1024
		}
	}
	fail(fmt.Errorf("expected a line 'Rss:' in /proc/self/smaps_rollup, found none"))
	return 0
}

func memory(size int) values {
	park := func(count int) {
		for i := 0; i < count; i++ {
			go time.Sleep(long)
		}
		runtime.Gosched()
	}
	park(first)
	before, started := resident(), time.Now()
	park(size)
	took := each(started, size)
	return values{"bytes": (resident() - before) / float64(size), "ns": took}
}

func timers(size int) values {
	draw := rand.New(rand.NewSource(7))
	made := make([]*time.Timer, size)
	started := time.Now()
	for i := range made {
		made[i] = time.AfterFunc(long+time.Duration(draw.Float64()*1e15), func() {})
	}
	start := each(started, size)
	started = time.Now()
	for _, timer := range made {
		timer.Stop()
	}
	return values{"start_ns": start, "stop_ns": each(started, size)}
}

func onCPU() float64 {
	var usage syscall.Rusage
	fail(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Nano() + usage.Stime.Nano())
}

func sleepers(size int) values {
	draw := rand.New(rand.NewSource(7))
	before := onCPU()
	var group sync.WaitGroup
	group.Add(size)
	for i := 0; i < size; i++ {
		go func(after time.Duration) {
			time.Sleep(after)
			group.Done()
		}(time.Duration(draw.Float64() * 1e9))
	}
	group.Wait()
	return values{"ns": (onCPU() - before) / float64(size)}
}

func handover(size int) values {
	queue := make(chan int, 1)
	go func() {
		for i := 0; i < size; i++ {
			queue <- i
		}
	}()
	started := time.Now()
	for i := 0; i < size; i++ {
		<-queue
	}
	return values{"ns": each(started, size)}
}

func pingPong(size int) values {
	rounds := max(1, size/2)
	here, there := make(chan struct{}, 1), make(chan struct{}, 1)
	go func() {
		for i := 0; i < rounds; i++ {
			<-there
			here <- struct{}{}
		}
	}()
	started := time.Now()
	for i := 0; i < rounds; i++ {
		there <- struct{}{}
		<-here
	}
	return values{"ns": each(started, 2*rounds)}
}

func free(size int) values {
	var lock sync.Mutex
	started := time.Now()
	for i := 0; i < size; i++ {
		lock.Lock()
		lock.Unlock()
	}
	return values{"ns": each(started, size)}
}

func unbounded(size int) values {
	queue := make(chan int, 1024)
	started := time.Now()
	for i := 0; i < size; i++ {
		queue <- i
		<-queue
	}
	return values{"ns": each(started, size)}
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	return listener
}

func echo(once bool) {
	listener := listen()
	for {
		connection, err := listener.Accept()
		fail(err)
		// TCP_NODELAY is what Go sets by itself.
		go func() {
			defer connection.Close()
			buffer := make([]byte, chunk)
			for {
				count, err := connection.Read(buffer)
				if err != nil {
					return
				}
				if _, err = connection.Write(buffer[:count]); err != nil || once {
					return
				}
			}
		}()
	}
}

func web() {
	hello := []byte("Hello world!")
	fail(http.Serve(listen(), http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		answer.Header().Set("Content-Type", "text/plain")
		_, _ = answer.Write(hello)
	})))
}

func main() {
	runtime.GOMAXPROCS(1)
	words := os.Args[1:]
	if len(words) > 0 && len(words) < 3 && words[0] == "echo" {
		echo(len(words) == 2 && words[1] == "once")
	}
	if len(words) == 1 && words[0] == "http" {
		web()
	}
	if len(words) == 3 {
		body, known := workloads[words[0]+" "+words[1]]
		size, err := strconv.Atoi(words[2])
		if known && err == nil && size > 0 {
			fail(json.NewEncoder(os.Stdout).Encode(body(size)))
			return
		}
	}
	fmt.Fprintln(os.Stderr, "usage: gopeer WORKLOAD CASE SIZE | echo [once] | http")
	os.Exit(2)
}
