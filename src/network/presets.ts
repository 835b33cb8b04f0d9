/**
 * The three kinds of network that a peer can be in. Everything that differs between them stands here, with its reason;
 * everything else is the same for all.
 */
export type Preset = 'public' | 'private' | 'test'

export interface PresetValues {
  /**
   * Whether private and loopback addresses go into the DHT. On the open internet they lead nowhere, or to somebody
   * else's machine; in a home or an office they are the only ones there are.
   */
  readonly privateAddresses: boolean
  /**
   * Gossipsub's penalty for many peers behind one address (P6). On the open internet that is a Sybil attack; within a
   * household, an office or on one machine it is the normal case (15 peers of one host would be silently graylisted).
   */
  readonly ipColocationWeight: number
  /** New inbound connections per second and remote host. */
  readonly inboundPerSecond: number
  /** Inbound connections whose handshake is not finished yet. */
  readonly pendingInbound: number
  /** Peers to be connected to; below it, known and discovered peers are dialled. */
  readonly targetPeers: number
  /** AutoNAT asks peers of other networks to dial back: of use on the open internet alone. */
  readonly autoNat: boolean
  /** Queries wait for a first peer. Otherwise AutoNAT's random walk runs in circles while there is none. */
  readonly waitForDhtPeers: boolean
  /** Round trips measured, per connection. 30 peers on one machine have 870 connections to ping. */
  readonly pingIntervalMs: number
  /** What a relay grants per connection. A stranger gets enough to punch a hole, one's own mesh enough to work with. */
  readonly relay: { readonly reservations: number; readonly dataBytes: bigint; readonly durationMs: number }
}

export const presets: Readonly<Record<Preset, PresetValues>> = {
  public: {
    privateAddresses: false,
    ipColocationWeight: -5,
    inboundPerSecond: 10,
    pendingInbound: 32,
    targetPeers: 24,
    autoNat: true,
    waitForDhtPeers: true,
    pingIntervalMs: 30_000,
    relay: { reservations: 128, dataBytes: 1n << 22n, durationMs: 120_000 },
  },
  private: {
    privateAddresses: true,
    ipColocationWeight: 0,
    inboundPerSecond: 100,
    pendingInbound: 64,
    targetPeers: 24,
    autoNat: false,
    waitForDhtPeers: false,
    pingIntervalMs: 30_000,
    relay: { reservations: 64, dataBytes: 1n << 30n, durationMs: 3_600_000 },
  },
  test: {
    privateAddresses: true,
    ipColocationWeight: 0,
    inboundPerSecond: 1_000,
    pendingInbound: 256,
    targetPeers: 32,
    autoNat: false,
    waitForDhtPeers: false,
    pingIntervalMs: 30_000,
    relay: { reservations: 64, dataBytes: 1n << 30n, durationMs: 3_600_000 },
  },
}
