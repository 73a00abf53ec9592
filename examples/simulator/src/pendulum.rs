//! A pendulum on a cart: the physics, a controller whose gains somebody else has to find, and a picture.

use ndarray::ArrayViewMut2;
use treequeues::Tree;

/// The cart goes so far to either side, in metres.
const TRACK: f64 = 2.4;
/// The strongest push, in newtons.
const MAX_FORCE: f64 = 10.0;
/// Seconds.
const TIME_STEP: f64 = 0.02;
const GRAVITY: f64 = 9.8;
/// In kilograms, and both together.
const POLE_MASS: f64 = 0.1;
const MASS: f64 = 1.1;
/// From the pivot to the middle of the pole, in metres.
const HALF_POLE: f64 = 0.5;
/// From this cosine on it is balanced, and not swung up.
const NEARLY_UP: f64 = 0.8;

/// The state: metres and radians, and the same a second. At angle 0 the pendulum stands.
#[derive(Clone, Copy, Debug)]
pub struct Pendulum {
    position: f64,
    speed: f64,
    angle: f64,
    turning: f64,
}

/// What the controller does with what it sees. All zero, it does nothing.
#[derive(Tree, Debug)]
pub struct Gains {
    /// Swinging up: how hard to push for energy.
    pump: f64,
    /// Swinging up: towards the middle of the track, and against the cart's speed.
    middle: [f64; 2],
    /// Balancing: for each part of the state.
    balance: [f64; 4],
}

impl Pendulum {
    /// At rest in the middle, hanging: but for `angle`.
    pub fn hanging(angle: f64) -> Self {
        Self { position: 0.0, speed: 0.0, angle: std::f64::consts::PI + angle, turning: 0.0 }
    }

    /// The push that was asked for, as far as the motor can.
    pub fn step(&mut self, force: f64) -> f64 {
        let force = force.clamp(-MAX_FORCE, MAX_FORCE);
        let (sin, cos) = self.angle.sin_cos();
        let pushed = (force + POLE_MASS * HALF_POLE * self.turning.powi(2) * sin) / MASS;
        let turns =
            (GRAVITY * sin - cos * pushed) / (HALF_POLE * (4.0 / 3.0 - POLE_MASS * cos.powi(2) / MASS));
        self.speed += TIME_STEP * (pushed - POLE_MASS * HALF_POLE * turns * cos / MASS);
        self.turning += TIME_STEP * turns;
        self.position += TIME_STEP * self.speed;
        self.angle += TIME_STEP * self.turning;
        if self.position.abs() > TRACK {
            (self.position, self.speed) = (self.position.clamp(-TRACK, TRACK), 0.0);
        }
        force
    }

    /// What the learner sees: position, speed, angle between -pi and pi, and how fast that changes.
    pub fn observation(&self) -> [f64; 4] {
        [self.position, self.speed, self.angle.sin().atan2(self.angle.cos()), self.turning]
    }

    /// 1 where it stands in the middle, nearly 0 where it hangs.
    pub fn reward(&self) -> f64 {
        (3.0 * self.angle.cos() - 3.0).exp() * (1.0 - 0.5 * self.position.abs() / TRACK)
    }

    /// Draws track, cart and pole into a picture that may hold anything.
    pub fn draw(&self, mut picture: ArrayViewMut2<'_, u8>) {
        let (height, width) = picture.dim();
        picture.fill(0);
        let scale = width as f64 / (2.0 * TRACK + 2.0 * HALF_POLE);
        let (middle, pivot) = (width as f64 / 2.0 + scale * self.position, height as f64 / 2.0);
        let mut dot = |x: f64, y: f64, shade: u8| {
            // A negative number becomes 0 and a large one the largest: the border, where little is to be seen.
            let (row, column) = ((y as usize).min(height - 1), (x as usize).min(width - 1));
            picture[[row, column]] = shade;
        };
        (0..width).for_each(|x| dot(x as f64, pivot + 2.0, 64));
        for across in -4..=4 {
            (0..2).for_each(|down| dot(middle + f64::from(across), pivot + f64::from(down), 160));
        }
        let (sin, cos) = self.angle.sin_cos();
        let length = (2.0 * HALF_POLE * scale) as u32;
        for along in (0..=2 * length).map(|half| f64::from(half) / 2.0) {
            dot(middle + along * sin, pivot - along * cos, 255);
        }
    }
}

impl Gains {
    /// The force for what is seen.
    pub fn force(&self, observation: [f64; 4]) -> f64 {
        let [position, speed, angle, turning] = observation;
        if angle.cos() > NEARLY_UP {
            return self.balance.iter().zip(observation).map(|(gain, seen)| gain * seen).sum();
        }
        // The pole's energy, beside what it has where it stands.
        let missing = 2.0 / 3.0 * HALF_POLE / GRAVITY * turning.powi(2) + angle.cos() - 1.0;
        self.pump * missing * turning * angle.cos() - self.middle[0] * position - self.middle[1] * speed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: Gains = Gains { pump: 0.0, middle: [0.0; 2], balance: [0.0; 4] };

    #[test]
    fn left_alone_it_hangs_and_earns_little() {
        let mut pendulum = Pendulum::hanging(0.0);
        (0..500).for_each(|_| assert_eq!(pendulum.step(OFF.force(pendulum.observation())), 0.0));
        assert!(pendulum.reward() < 0.01);
    }

    #[test]
    fn good_gains_swing_it_up_and_hold_it_there() {
        let gains = Gains { pump: 10.0, middle: [10.0, 6.0], balance: [5.0, 7.0, 45.0, 10.0] };
        let mut pendulum = Pendulum::hanging(0.05);
        for step in 0..1_000 {
            pendulum.step(gains.force(pendulum.observation()));
            assert!(step < 500 || pendulum.reward() > 0.9, "step {step}: {pendulum:?}");
        }
    }

    #[test]
    fn no_push_gets_it_off_the_track_or_out_of_the_picture() {
        let mut pendulum = Pendulum::hanging(0.0);
        let mut picture = ndarray::Array2::from_elem((32, 64), 7);
        for step in 0..500 {
            assert!(pendulum.step(if step < 250 { 99.0 } else { -99.0 }).abs() <= MAX_FORCE);
            assert!(pendulum.position.abs() <= TRACK);
            pendulum.draw(picture.view_mut());
            assert!(picture.iter().any(|shade| *shade == 255) && picture.iter().all(|shade| *shade != 7));
        }
    }
}
