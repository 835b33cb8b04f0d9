import { quorumOf } from '../committee.ts'
import type { SimNetwork } from './network.ts'
import type { SimPeer } from './peer.ts'
import type { World } from './world.ts'

/** Bad weather lasts so long for each round of the run; then all heals that can. */
const msPerRound = 5_000
/** A connection that breaks is noticed after so long at most; one whose other end has died, at once. */
const noticedMs = { death: 50, cut: 8_000 }
/** A peer that is back is dialled again in so long at most. */
const redialMs = 2_000

/** What goes wrong in the mesh, and when. */
export class Weather {
  readonly #world: World
  readonly #network: SimNetwork
  readonly #peers: ReadonlyMap<string, SimPeer>
  readonly #gone = new Set<string>()
  /** So many may still go for good: the others must be a quorum of the roster, and more when liars are among them. */
  #mayGo: number
  /** When the last fault is over: from then on the run must get on. */
  readonly clearMs: number

  constructor(world: World, network: SimNetwork, peers: ReadonlyMap<string, SimPeer>) {
    this.#world = world
    this.#network = network
    this.#peers = peers
    const { peers: count, faults, liars } = world.scenario
    this.#mayGo = count - quorumOf(faults, count) - liars
    this.clearMs = world.scenario.rounds * msPerRound
  }

  begin(): void {
    const { scenario, random, names } = this.#world
    const first = names.slice(0, scenario.peers)
    for (const name of random.sample(names, scenario.slowPeers)) this.#network.slowDown(name)
    for (let i = 0; i < scenario.crashes; i++)
      this.#at(() => this.crash(random.pick(first), random.integer(200, 6_000)))
    for (const name of random.sample(first, scenario.departures)) this.#at(() => this.crash(name, null))
    for (let i = 0; i < scenario.committeeDeaths; i++) this.#at(() => this.#killCommittee())
    for (const name of names.slice(scenario.peers)) this.#at(() => this.#bring(name))
    this.#cuts(scenario.partitions, 0)
    this.#world.kill = (name) => this.crash(name, random.integer(200, 4_000))
    this.#world.time.after(this.clearMs, () => this.#clear())
  }

  /** Whether the peer is to have the whole chain in the end. */
  isExpected(name: string): boolean {
    return !this.#gone.has(name)
  }

  /** Dies, with all that it has not synced; comes back after so long, or never. */
  crash(name: string, backMs: number | null): void {
    const { time } = this.#world
    if (backMs === null && !this.#gone.has(name) && this.#mayGo-- <= 0) return
    if (backMs === null) this.#gone.add(name)
    const peer = this.#peers.get(name)
    if (peer === undefined || !peer.isUp) return
    this.#world.tell(() => `${peer.short} dies${backMs === null ? ', for good' : ''}`)
    peer.crash()
    this.#tellOthers(name, 'disconnected', noticedMs.death)
    if (backMs !== null) time.after(backMs, () => this.#bring(name))
  }

  #bring(name: string): void {
    const peer = this.#peers.get(name)
    if (peer === undefined || peer.isUp || this.#gone.has(name)) return
    this.#world.tell(() => `${peer.short} is there`)
    peer.start()
    this.#tellOthers(name, 'connected', redialMs)
  }

  #at(work: () => void): void {
    this.#world.time.after(this.#world.random.integer(0, this.clearMs), work)
  }

  /** So many members at once that no quorum is left: some for good, the others come back when the roster may have given them up. */
  #killCommittee(): void {
    const { random, scenario } = this.#world
    const states = [...this.#peers.values()].map((peer) => peer.state).filter((state) => state !== null)
    const newest = Math.max(0, ...states.map((state) => state.config.round))
    const config = states.find((state) => state.config.round === newest)?.config
    if (config === undefined || config.roster.length <= 2 * scenario.committeeSize) return
    this.#world.tell(() => `the committee of round ${config.round} dies`)
    const forGood = random.permille(500)
    for (const member of config.committee.slice(0, config.committee.length - config.quorum + 1)) {
      this.crash(member, forGood && this.#mayGo > 0 ? null : random.integer(5_000, 60_000))
    }
  }

  /** One after the other: a part of the peers, in one direction or both, for some seconds. */
  #cuts(left: number, fromMs: number): void {
    const { random, time, names } = this.#world
    if (left === 0) return
    const startMs = fromMs + random.integer(0, Math.max(1, this.clearMs - fromMs))
    const share = random.next()
    const group = new Set(names.filter(() => random.next() < share))
    const ways = random.pick(['both', 'both', 'into', 'out of'] as const)
    time.after(startMs - time.nowMs, () => {
      this.#world.tell(
        () => `the mesh parts: ${group.size} of ${names.length} peers, ${ways} ${ways === 'both' ? 'ways' : 'cut'}`,
      )
      this.#network.setCut({ group, ways })
      if (ways === 'both') this.#tellAcross('disconnected', noticedMs.cut)
      time.after(random.integer(1_000, 30_000), () => {
        this.#heal()
        this.#cuts(left - 1, time.nowMs)
      })
    })
  }

  #heal(): void {
    if (this.#network.cut === null) return
    this.#world.tell(() => 'the mesh is whole again')
    this.#tellAcross('connected', redialMs)
    this.#network.setCut(null)
  }

  #clear(): void {
    this.#world.tell(() => 'the weather clears')
    this.#world.tornPermille = 0
    this.#heal()
  }

  /** Those to whom it matters learn of it, each in its time, if it is still so. */
  #tellOthers(name: string, type: 'connected' | 'disconnected', mostMs: number): void {
    for (const peer of this.#peers.values()) {
      if (peer.name !== name && peer.watches(name)) this.#tell(peer, name, type, mostMs)
    }
    const own = this.#peers.get(name)
    if (type === 'connected' && own !== undefined) {
      // It has begun its round with those who are there; the links in its way are made now.
      for (const other of own.state?.config.committee ?? []) this.#tell(own, other, type, mostMs)
    }
  }

  #tellAcross(type: 'connected' | 'disconnected', mostMs: number): void {
    const group = this.#network.cut?.group
    if (group === undefined) return
    for (const peer of this.#peers.values()) {
      for (const name of peer.state?.config.roster ?? []) {
        if (group.has(name) !== group.has(peer.name) && peer.watches(name)) this.#tell(peer, name, type, mostMs)
      }
    }
  }

  #tell(peer: SimPeer, name: string, type: 'connected' | 'disconnected', mostMs: number): void {
    const { time, random } = this.#world
    time.after(random.integer(1, mostMs), () => {
      if (peer.isUp && this.#network.isConnected(peer.name, name) === (type === 'connected'))
        peer.feed({ type, peer: name })
    })
  }
}
