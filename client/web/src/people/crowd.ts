// Everyone else who is here, kept up with the roster and played back from their poses.
import * as three from "three";
import { type Person, Role } from "../gen/control_pb";
import type { Avatars } from "../wire/datagram";
import type { Tag } from "../wire/frame";
import { Figure } from "./figure";
import { DELAY_US, type Held, JitterBuffer } from "./jitter";

/** Mean radiance of the first SH coefficient. */
const Y00 = 0.282_095;

interface Member {
  readonly person: Person;
  readonly look: string;
  readonly figure: Figure;
  readonly poses: JitterBuffer;
  held: Held | null;
}

export interface SeenPerson {
  readonly headset: number;
  readonly name: string;
  /** Stop-local metres. */
  readonly head: readonly number[];
  readonly headRotation: readonly number[];
  readonly left: readonly number[] | null;
  readonly right: readonly number[] | null;
  readonly pointer: readonly number[] | null;
}

export class Crowd {
  readonly object = new three.Group();
  readonly #probe = new three.LightProbe(undefined, 1);
  readonly #key = new three.DirectionalLight(0xffffff, 0.6);
  #members = new Map<number, Member>();
  #epoch = -1;

  constructor(scene: three.Scene) {
    this.#key.position.set(0.4, 1, 0.3);
    scene.add(this.object, this.#probe, this.#key, new three.AmbientLight(0xffffff, 0.25));
  }

  /** The light that the picture carries: people stand in the same. */
  light(tag: Tag): void {
    const sh = this.#probe.sh.coefficients;
    for (let i = 0; i < 9; i++) {
      const [r = 0, g = 0, b = 0] = tag.ambient.slice(3 * i, 3 * i + 3);
      // Half its tint: the colours by which people are told apart have to survive a blue evening.
      const gray = (r + g + b) / 3;
      sh[i]?.set(r + gray, g + gray, b + gray).multiplyScalar(tag.exposure / 2);
    }
    // So that nobody is lost in the dark nor burnt out: the mean stays within what a screen shows well.
    const mean = (tag.ambient.slice(0, 3).reduce((a, b) => a + b, 0) / 3) * tag.exposure * Y00;
    this.#probe.intensity = mean > 0 ? Math.max(0.4, Math.min(1.1, mean)) / mean : 1;
  }

  setPeople(people: readonly Person[], me: number, note: (p: Person) => string): void {
    const here = new Set(people.map((p) => p.headset));
    for (const [headset, member] of this.#members) {
      if (here.has(headset)) continue;
      member.figure.dispose();
      this.#members.delete(headset);
    }
    for (const person of people) {
      if (person.headset === me) continue;
      const look = `${person.name}|${person.role}|${note(person)}`;
      const before = this.#members.get(person.headset);
      if (before?.look === look) continue;
      before?.figure.dispose();
      const figure = new Figure(person.headset, {
        name: person.name,
        guide: person.role === Role.GUIDE,
        note: note(person),
      });
      figure.object.visible = false;
      this.object.add(figure.object);
      this.#members.set(person.headset, {
        person,
        look,
        figure,
        poses: before?.poses ?? new JitterBuffer(),
        held: before?.held ?? null,
      });
    }
  }

  take(avatars: Avatars, epoch: number, serverNowUs: number): void {
    if (avatars.epoch !== (epoch & 0xffff)) return;
    if (epoch !== this.#epoch) {
      for (const m of this.#members.values()) m.poses.clear();
      this.#epoch = epoch;
    }
    for (const { headset, body } of avatars.people) this.#members.get(headset)?.poses.push(body, serverNowUs);
  }

  /** Forgets where everyone stood: they are elsewhere now. */
  scatter(): void {
    for (const m of this.#members.values()) {
      m.poses.clear();
      m.held = null;
      m.figure.object.visible = false;
    }
  }

  update(serverNowUs: number | null, origin: three.Vector3, eye: three.Vector3, screen: three.Quaternion | null): void {
    for (const m of this.#members.values()) {
      m.held = serverNowUs === null ? null : m.poses.sample(serverNowUs - DELAY_US);
      m.figure.object.visible = m.held !== null;
      if (m.held) m.figure.hold(m.held, origin, eye, screen);
    }
  }

  seen(origin: three.Vector3): SeenPerson[] {
    const world = (p: readonly [number, number, number]): number[] => new three.Vector3(...p).add(origin).toArray();
    return [...this.#members.values()].flatMap(({ person, held }) =>
      held
        ? [
            {
              headset: person.headset,
              name: person.name,
              head: world(held.head.position),
              headRotation: held.head.rotation,
              left: held.left ? world(held.left.position) : null,
              right: held.right ? world(held.right.position) : null,
              pointer: held.pointer ? world(held.pointer) : null,
            },
          ]
        : [],
    );
  }
}
