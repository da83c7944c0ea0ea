// `window.tongyou`: what the page knows of itself, for tests and for who looks for a fault. Reading it changes nothing;
// the functions are for measuring and for screenshots.
import * as three from "three";
import type { SeenPerson } from "./people/crowd";
import type { Live, Walk } from "./tour/live";
import type { Change, Return, State } from "./tour/session";
import type { Stats } from "./worker/messages";

export interface Diagnostics {
  /** Of the session. */
  readonly state: State;
  /** Why it was refused, lost or ended. */
  readonly reason: string;
  readonly code: string;
  readonly headset: number;
  readonly epoch: number | null;
  /** Index of the stop on show. */
  readonly stop: number | null;
  readonly stopId: string | null;
  readonly cell: number | null;
  readonly leads: boolean;
  /** Where this wearer stands, and the origin of poses, stop-local metres. */
  readonly placement: { seat: readonly number[]; yaw: number; vantage: number; epoch: number } | null;
  readonly poseOrigin: readonly number[];
  /** Head as last sent, metres from the pose origin. */
  readonly sentHead: readonly number[] | null;
  readonly people: readonly { headset: number; name: string; role: number; simulated: boolean; cell: number }[];
  /** The set on show. */
  readonly lastSet: {
    set: number;
    tourTimeUs: number;
    point: readonly number[];
    vantage: number;
    epoch: number;
  } | null;
  /** What of a vantage is on show, and how long it took from looking at a face until it was sharp, milliseconds. */
  readonly layers: {
    readonly stereo: boolean;
    readonly behind: boolean;
    readonly sharp: readonly number[];
    readonly models: number;
    readonly sharpAfterMs: readonly number[];
  };
  readonly setsComplete: number;
  readonly setsMissed: number;
  readonly stats: Stats;
  /** Frames given to the display since the page was opened. */
  readonly presentedFrames: number;
  /** The last 600 frames: time since the one before, and time of this thread's work in each, milliseconds. */
  readonly frameTimesMs: { readonly interval: readonly number[]; readonly cpu: readonly number[] };
  /** Server minus client time now, microseconds; parts per million; least round trip of the last minute. */
  readonly clock: { offsetUs: number; skewPpm: number; rttUs: number; errorUs: number } | null;
  /** World pose and projection of what drew the last frame: one camera, or two eyes. Column-major. */
  readonly camera: readonly { position: number[]; quaternion: number[]; projection: number[] }[];
  /** World positions, stop-local metres, as drawn. */
  readonly avatars: readonly SeenPerson[];
  /** Where this wearer points. */
  readonly pointer: readonly number[] | null;
  /** Neither a set nor a heartbeat has come for a while. */
  readonly stands: boolean;
  /** The cell whose picture is sent beside the one on show, and whether a set of it could be shown now. */
  readonly ahead: { readonly cell: number; readonly ready: boolean } | null;
  /** Part of the cross-fade that is done; `null` while there is none. */
  readonly fading: number | null;
  /** The last walks from place to place, milliseconds of the page. */
  readonly walks: readonly Walk[];
  /** Stop changes since the page was opened. */
  readonly changes: readonly Change[];
  /** Ways back after a lost connection, milliseconds of the machine's wall clock. */
  readonly returns: readonly Return[];
  readonly inXr: boolean;
  /** Where one can walk to: the middle of each ring on the floor, stop-local metres. */
  readonly rings: readonly { cell: number; at: readonly number[] }[];
  /** A headset's room in the world, and where its wearer is about to go. */
  readonly room: { position: readonly number[]; quaternion: readonly number[] } | null;
  readonly aim: { hand: "left" | "right"; cell: number | null } | null;
  /** What went wrong without ending the tour, newest last. */
  readonly troubles: readonly string[];
  /** Keeps sets from the stage, to measure that presenting does not depend on them. */
  withholdSets(on: boolean): void;
  /** Turns the flat view. Radians, metres. */
  setView(view: { yaw?: number; pitch?: number; offset?: readonly [number, number, number] }): void;
  /** Points through a place of the window (−1 … 1, y up) where the wearer leads; `null` ends it. */
  pointAt(place: readonly [number, number] | null): void;
  walkTo(cell: number): void;
  /** To a point of the floor, stop-local metres. */
  roamTo(x: number, z: number): void;
  /** Makes cross-fades so many times longer, to look at them. */
  stretchFades(by: number): void;
  /** Hides everything but the world and the people; the people too where that is asked for. */
  hideInterface(on: boolean, people?: boolean): void;
}

declare global {
  interface Window {
    tongyou?: Diagnostics;
  }
}

export function exposeDiagnostics(live: Live): void {
  const { session, stage, crowd } = live;
  const diagnostics: Diagnostics = {
    get state() {
      return session.state;
    },
    get reason() {
      return session.reason.message;
    },
    get code() {
      return session.code;
    },
    get headset() {
      return session.headset;
    },
    get epoch() {
      return session.current?.epoch ?? null;
    },
    get stop() {
      return session.current?.stop ?? null;
    },
    get stopId() {
      return session.stop?.id ?? null;
    },
    get cell() {
      return session.cell;
    },
    get placement() {
      const p = session.placement;
      return p
        ? { seat: [p.seat?.x ?? 0, p.seat?.y ?? 0, p.seat?.z ?? 0], yaw: p.yaw, vantage: p.vantage, epoch: p.epoch }
        : null;
    },
    get poseOrigin() {
      return live.poseOrigin.toArray();
    },
    get sentHead() {
      return live.sentHead;
    },
    get leads() {
      return session.leads;
    },
    get people() {
      return session.people.map(({ headset, name, role, simulated, cell }) => ({
        headset,
        name,
        role,
        simulated,
        cell,
      }));
    },
    get lastSet() {
      const tag = stage.layers.shown?.tag;
      if (!tag) return null;
      const { set, tourTimeUs, point, vantage, epoch } = tag;
      return { set, tourTimeUs, point, vantage, epoch };
    },
    get layers() {
      const layer = stage.layers.shown;
      return {
        stereo: layer?.isStereo ?? false,
        behind: layer?.hasBehind ?? false,
        sharp: layer?.sharp.map((s) => s.face) ?? [],
        models: live.models.count,
        sharpAfterMs: stage.layers.sharpAfterMs.slice(),
      };
    },
    get setsComplete() {
      return session.connection.stats.complete;
    },
    get setsMissed() {
      return session.connection.stats.missed;
    },
    get stats() {
      return session.connection.stats;
    },
    get presentedFrames() {
      return stage.presentedFrames;
    },
    get frameTimesMs() {
      return { interval: stage.intervalsMs.slice(), cpu: stage.cpuMs.slice() };
    },
    get clock() {
      return session.connection.clock;
    },
    get camera() {
      return stage.eyes.map((eye) => ({
        position: new three.Vector3().setFromMatrixPosition(eye.matrixWorld).toArray(),
        quaternion: new three.Quaternion().setFromRotationMatrix(eye.matrixWorld).toArray(),
        projection: eye.projectionMatrix.toArray(),
      }));
    },
    get avatars() {
      return crowd.seen(live.poseOrigin);
    },
    get pointer() {
      return live.pointer?.toArray() ?? null;
    },
    get stands() {
      return session.stands;
    },
    get ahead() {
      const { ahead } = session;
      return ahead && { cell: ahead.cell, ready: stage.layers.ready(ahead.key) !== null };
    },
    get fading() {
      return stage.layers.fading;
    },
    get walks() {
      return live.walks.map((w) => ({ ...w }));
    },
    get changes() {
      return session.changes.map((c) => ({ ...c }));
    },
    get returns() {
      return session.returns.map((r) => ({ ...r }));
    },
    get inXr() {
      return stage.inXr;
    },
    get rings() {
      return live.rings.visible.map(({ cell, at }) => ({ cell, at: at.toArray() }));
    },
    get room() {
      const { position, quaternion } = stage.rig;
      return stage.inXr ? { position: position.toArray(), quaternion: quaternion.toArray() } : null;
    },
    get aim() {
      return live.extension?.aim ?? null;
    },
    get troubles() {
      return session.connection.troubles.slice();
    },
    withholdSets: (on) => session.connection.withhold(on),
    setView({ yaw, pitch, offset }) {
      if (yaw !== undefined) stage.view.yaw = yaw;
      if (pitch !== undefined) stage.view.pitch = pitch;
      if (offset) stage.view.offset.set(...offset);
    },
    pointAt: (place) => live.input.pointAt(place),
    walkTo: (cell) => live.walk(cell),
    roamTo: (x, z) => live.roam(new three.Vector3(x, 0, z), stage.view.yaw),
    stretchFades(by) {
      stage.layers.stretch = by;
    },
    hideInterface(on, people = false) {
      live.interfaceHidden = on;
      live.peopleHidden = on && people;
      document.body.classList.toggle("bare", on);
    },
  };
  Object.defineProperty(window, "tongyou", { value: Object.freeze(diagnostics), configurable: true });
}
